"""`jvpn down`."""

from pathlib import Path

import click
import msgspec

from jumping_vpn.cli.control import STATE_DIR, ask_service, control_socket
from jumping_vpn.cli.lazy import examples
from jumping_vpn.client.status import Ended


@click.command(epilog=examples("jvpn down", "jvpn down --state-dir /run/laptop"))
@STATE_DIR
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def down(state_dir: Path | None, *, as_json: bool) -> None:
    """End the session for good and take the tunnel down.

    The gateway is told, and the secrets are erased on both sides. To stop the client and keep the
    session for the next `jvpn up`, end `jvpn up` with Ctrl-C instead.
    """
    path = control_socket("client", state_dir, "--state-dir")
    ended = ask_service(path, "down", Ended)
    if as_json:
        click.echo(msgspec.json.encode(ended))
    else:
        click.echo(f"The session is over: {ended.detail or ended.outcome}")
