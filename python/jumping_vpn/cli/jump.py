"""`jvpn jump`."""

from pathlib import Path

import click
import msgspec

from jumping_vpn.cli.control import STATE_DIR, ask_service, control_socket
from jumping_vpn.cli.lazy import examples
from jumping_vpn.client.status import Jumped


@click.command(
    epilog=examples("jvpn jump", "jvpn jump wlan0", "jvpn jump udp/wlan0/203.0.113.1:4789#3")
)
@click.argument("transport", required=False, default="")
@STATE_DIR
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def jump(transport: str, state_dir: Path | None, *, as_json: bool) -> None:
    """Move the session to another transport, now, make before break.

    TRANSPORT is an interface or a transport as `jvpn status` shows it; without it, the best other
    one is taken. Policy may deny the jump, for instance within its cooldown; then nothing is done,
    also not later, and it says why and from when on a jump is possible.
    """
    path = control_socket("client", state_dir, "--state-dir")
    jumped = ask_service(path, "jump", Jumped, argument=transport)
    if as_json:
        click.echo(msgspec.json.encode(jumped))
    else:
        click.echo(
            f"{jumped.transport_before or '-'} -> {jumped.transport_after or '-'} "
            f"in {jumped.took_ms} ms ({jumped.reason}, version {jumped.version})"
        )
