"""`jvpn sessions`."""

from pathlib import Path

import click
import msgspec

from jumping_vpn.cli.control import ask_service, control_socket
from jumping_vpn.cli.lazy import examples
from jumping_vpn.cli.text import duration, table
from jumping_vpn.gateway.status import SessionLine, Sessions


@click.command(
    epilog=examples(
        "jvpn sessions",
        "jvpn sessions /etc/jumping-vpn",
        "jvpn sessions --json | jq '.sessions[].state'",
    )
)
@click.argument("directory", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def sessions(directory: Path | None, *, as_json: bool) -> None:
    """List the sessions of the gateway in DIRECTORY, or of the only one running here."""
    path = control_socket("gateway", directory, "DIRECTORY")
    answer = ask_service(path, "sessions", Sessions)
    if as_json:
        click.echo(msgspec.json.encode(answer))
    elif not answer.sessions:
        click.echo("No sessions.")
    else:
        head = ("CLIENT", "SESSION", "STATE", "SINCE", "V", "TRANSPORT", "ADDRESSES", "AGE")
        click.echo(table((head, *map(_row, answer.sessions))))


def _row(line: SessionLine) -> tuple[str, ...]:
    unconfirmed = "" if line.confirmed or line.transport is None else " (unconfirmed)"
    return (
        line.client,
        line.session_id[:8],
        line.state,
        duration(line.in_state_ms),
        str(line.version),
        (line.transport or "-") + unconfirmed,
        " ".join(line.addresses),
        duration(line.age_ms),
    )
