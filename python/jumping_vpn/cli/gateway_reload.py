"""`jvpn gateway reload`."""

from pathlib import Path

import click

from jumping_vpn.cli.control import ask_service, control_socket
from jumping_vpn.cli.lazy import examples
from jumping_vpn.gateway.status import Done


@click.command(
    epilog=examples("jvpn gateway reload /etc/jumping-vpn", "jvpn gateway reload"),
)
@click.argument("directory", required=False, type=click.Path(path_type=Path))
def reload(directory: Path | None) -> None:
    """Have the gateway in DIRECTORY, or the only one running here, read its clients again.

    A client whose file is gone or says `allowed = false` loses its session at once.
    """
    path = control_socket("gateway", directory, "DIRECTORY")
    click.echo(ask_service(path, "reload", Done).text)
