"""`jvpn gateway init`: keys and a configuration that a person can read and change."""

import json
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from jumping_vpn.cli.failures import ExitCode, Failure
from jumping_vpn.cli.lazy import examples
from jumping_vpn.gateway.config import (
    DEFAULT_PORT,
    DEFAULT_SUBNETS,
    EVERYWHERE,
    GatewayConfig,
    GatewayPaths,
)
from jumping_vpn.service.files import write_durably
from jumping_vpn.system.settings import Checked, Endpoint, Key, Network, Subnet, parse

PROBES: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))

TEMPLATE: Final = """\
# A Jumping VPN gateway. `jvpn gateway run {directory}` serves it; changes take effect at the
# next start. All of it: docs/reference/configuration.md

# Where clients find this gateway; put into every client's file.
endpoints = {endpoints}

# The UDP port, and the addresses of this machine that it is open on.
port = {port}
listen = {listen}

[network]
# The addresses inside the tunnel; the first of each subnet is the gateway's.
subnets = {subnets}

# Networks behind this gateway that clients reach through the tunnel.
routes = {routes}

# Clients reach each other only when this is false.
isolate_clients = true
"""


class CheckedText(click.ParamType[str]):
    """An option whose text is checked as the same text in a file would be."""

    def __init__(self, kind: type[Checked], name: str) -> None:
        self.kind = kind
        self.name = name

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> Checked:
        """Return the text, or fail with what was expected."""
        try:
            return self.kind(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    epilog=examples(
        "jvpn gateway init /etc/jumping-vpn --endpoint vpn.example.org:4789",
        "jvpn gateway init gw --endpoint 203.0.113.1:4789 --endpoint [2001:db8::1]:4789",
        "jvpn gateway init gw --endpoint 203.0.113.1:4789 --route 192.168.9.0/24",
        "jvpn gateway init gw --endpoint 203.0.113.1:4789 --route 0.0.0.0/0 --route ::/0",
    )
)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    type=CheckedText(Endpoint, "HOST:PORT"),
    help="Where clients find this gateway. Repeat for each; by default this machine's addresses.",
)
@click.option(
    "--subnet",
    "subnets",
    multiple=True,
    type=CheckedText(Subnet, "CIDR"),
    help="Addresses inside the tunnel. Repeat for IPv4 and IPv6; by default one of each.",
)
@click.option(
    "--route",
    "routes",
    multiple=True,
    type=CheckedText(Network, "CIDR"),
    help="A network behind the gateway that clients reach through the tunnel. Repeat for each.",
)
@click.option("--port", type=click.IntRange(1, 65535), help="The UDP port to listen on.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def init(  # noqa: PLR0913 - one per option
    directory: Path,
    endpoints: tuple[str, ...],
    subnets: tuple[str, ...],
    routes: tuple[str, ...],
    port: int | None,
    *,
    as_json: bool,
) -> None:
    """Create a gateway in DIRECTORY: its keys and its configuration.

    The directory is private to you (0700) and must not hold a gateway already. Nothing is sent and
    no root is needed.
    """
    paths = GatewayPaths(directory)
    if paths.config.exists():
        raise Failure(ExitCode.FAILURE, f"{directory} holds a gateway already; nothing was changed")
    port = port or DEFAULT_PORT
    found = not endpoints
    text = TEMPLATE.format(
        directory=directory,
        endpoints=_toml(endpoints or _own_endpoints(port)),
        port=port,
        listen=_toml(EVERYWHERE),
        subnets=_toml(subnets or DEFAULT_SUBNETS),
        routes=_toml(routes),
    )
    config, key = _create(paths.directory, text)

    if as_json:
        answer = {
            "directory": str(directory),
            "public_key": key,
            "endpoints": config.endpoints,
            "subnets": config.network.subnets,
            "routes": config.network.routes,
            "port": config.port,
        }
        click.echo(json.dumps(answer))
        return
    click.echo(f"Gateway created in {directory}. Its public key: {key}")
    if found:
        click.echo(
            f"Clients will look for it at {', '.join(config.endpoints)}. If they reach this "
            f"machine by another name or address, change `endpoints` in {paths.config}."
        )
    click.echo(f"Next: jvpn gateway add-client {directory} NAME > NAME.toml")
    click.echo(f"Then: jvpn gateway run {directory}")


def _create(directory: Path, text: str) -> tuple[GatewayConfig, str]:
    """Write a gateway's directory, and nothing of it when the configuration is refused."""
    from jumping_vpn.dataplane.keys import create_gateway_keys

    paths = GatewayPaths(directory)
    config = parse(text, GatewayConfig, source=str(paths.config))
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    paths.clients.mkdir(mode=0o700, exist_ok=True)
    key = Key.of(create_gateway_keys(directory))
    write_durably(paths.config, text.encode())
    return config, key


def _own_endpoints(port: int) -> tuple[str, ...]:
    """Return the endpoints at which other machines most likely reach this one."""
    addresses = filter(None, (_own_address(family, far) for family, far in PROBES))
    endpoints = tuple(Endpoint.of(address, port) for address in addresses)
    if not endpoints:
        raise Failure(
            ExitCode.USAGE,
            "this machine has no route to anywhere, so its address is unknown. "
            "Say where clients find it: --endpoint HOST:PORT",
        )
    return endpoints


def _own_address(family: int, far: str) -> str | None:
    """Return the address that packets to the wide world leave from. Nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((far, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _toml(texts: Iterable[str]) -> str:
    return json.dumps(list(texts))
