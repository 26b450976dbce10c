"""`jvpn gateway run`."""

import asyncio
from pathlib import Path

import click

from jumping_vpn.cli.failures import require_network_admin
from jumping_vpn.cli.lazy import examples
from jumping_vpn.cli.report import terminal


@click.command(
    epilog=examples(
        "jvpn gateway run /etc/jumping-vpn",
        "jvpn gateway run /etc/jumping-vpn --json | jq .event_type",
    )
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines.")
def run(directory: Path, *, as_json: bool) -> None:
    """Serve clients from the gateway in DIRECTORY, in the foreground.

    Sessions live in DIRECTORY/sessions.db and go on after any end of this process, kill -9
    included; events go to DIRECTORY/events.jsonl. Ctrl-C stops it and puts this machine's network
    back as it was.
    """
    require_network_admin(
        f"jvpn gateway run {directory}", "it opens a TUN interface and sets up forwarding"
    )
    from jumping_vpn.gateway.service import run as serve

    with terminal(as_json=as_json) as reporter:
        asyncio.run(serve(directory, reporter))
