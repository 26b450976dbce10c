"""What `DIR/gateway.toml` and `DIR/clients/NAME.toml` say; paths of everything in the directory."""

import re
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from jumping_vpn.service.paths import ServicePaths
from jumping_vpn.system.settings import (
    Address,
    ConfigError,
    Endpoint,
    InterfaceName,
    Key,
    Network,
    Subnet,
    check_policy,
    check_private_directory,
    parse,
    read_private,
)

DEFAULT_PORT: Final = 4789
EVERYWHERE: Final = (Address("0.0.0.0"), Address("::"))  # noqa: S104  clients come from anywhere
DEFAULT_SUBNETS: Final = ("10.77.0.0/24", "fd77:4a56:504e::/64")
_USUAL: Final = re.compile(r'public_key = "([A-Za-z0-9+/]{43}=)"\n(?:allowed = (true|false)\n)?')
CLIENT_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

Meta = msgspec.Meta
Overrides: TypeAlias = dict[str, Any]
"""A policy's fields as they stand in the file; the policy itself checks names and bounds."""


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[network]` table: the tunnel's inside, and what the gateway does for it."""

    interface: Annotated[InterfaceName, Meta(description="The TUN interface of this gateway.")] = (
        InterfaceName("jvpn-gw0")
    )
    subnets: Annotated[
        tuple[Subnet, ...],
        Meta(description="Addresses inside the tunnel; the first of each is the gateway's."),
    ] = tuple(map(Subnet, DEFAULT_SUBNETS))
    routes: Annotated[
        tuple[Network, ...],
        Meta(description="Networks behind the gateway that clients reach through the tunnel."),
    ] = ()
    dns: Annotated[
        tuple[Address, ...], Meta(description="Name servers that clients use while connected.")
    ] = ()
    mtu: Annotated[
        int, Meta(ge=1280, le=65535, description="The largest packet inside the tunnel, in bytes.")
    ] = 1420
    masquerade: Annotated[
        bool,
        Meta(description="Whether clients leave this machine under its own address (NAT)."),
    ] = True
    isolate_clients: Annotated[
        bool, Meta(description="Whether clients are kept from reaching each other.")
    ] = True

    def __post_init__(self) -> None:
        if not self.subnets:
            raise ValueError("subnets: expected at least one subnet")
        for index, subnet in enumerate(self.subnets):
            for other in self.subnets[:index]:
                if _overlap(subnet, other):
                    raise ValueError(
                        f"subnets: {subnet} overlaps {other}, expected distinct subnets"
                    )

    @property
    def pushed_routes(self) -> tuple[str, ...]:
        """What clients send into the tunnel: its subnets, and the networks behind the gateway."""
        return tuple(dict.fromkeys((*self.subnets, *self.routes)))


class GatewayConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gateway.toml`."""

    endpoints: Annotated[
        tuple[Endpoint, ...],
        Meta(min_length=1, description="Where clients find this gateway; put into their files."),
    ]
    port: Annotated[int, Meta(ge=1, le=65535, description="The UDP port.")] = DEFAULT_PORT
    listen: Annotated[
        tuple[Address, ...],
        Meta(description="The addresses to listen on; `0.0.0.0` and `::` are all of a family."),
    ] = EVERYWHERE
    node: Annotated[
        int, Meta(ge=1, le=65535, description="This gateway's number; never that of another.")
    ] = 1
    capacity: Annotated[
        int, Meta(ge=1, le=1 << 20, description="The most sessions that are held at once.")
    ] = 65536
    reveal_addresses: Annotated[
        bool, Meta(description="Whether events carry whole addresses instead of their prefixes.")
    ] = False
    network: Annotated[
        NetworkSettings, Meta(description="The tunnel's inside, and the networks behind it.")
    ] = msgspec.field(default_factory=NetworkSettings)
    policy: Annotated[
        Overrides, Meta(description="What sessions may do; see the table of policy fields.")
    ] = {}


class ClientEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`clients/NAME.toml`: one client that this gateway knows."""

    public_key: Annotated[Key, Meta(description="The client's public key, in base64.")]
    allowed: Annotated[bool, Meta(description="Whether the client may connect.")] = True


class GatewayPaths(ServicePaths):
    """Where each file of a gateway's directory lies."""

    __slots__ = ()

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.directory / "gateway.toml"

    @property
    def clients(self) -> Path:
        """One file per client."""
        return self.directory / "clients"

    @property
    def sessions(self) -> Path:
        """The database of sessions."""
        return self.directory / "sessions.db"


def load(directory: Path) -> GatewayConfig:
    """Return the configuration of a gateway's directory, or raise ConfigError."""
    check_private_directory(directory)
    path = GatewayPaths(directory).config
    text = read_private(path)
    config = parse(text, GatewayConfig, source=str(path))
    check_policy(config.policy, text, source=str(path))
    return config


def load_clients(directory: Path) -> dict[str, bytes]:
    """Return the public key of every allowed client by name; all of them or ConfigError."""
    clients: dict[str, bytes] = {}
    names: dict[Key, str] = {}
    files = GatewayPaths(directory).clients.glob("*.toml")
    for path in sorted(files, key=lambda each: each.name):
        text = read_private(path)
        entry = _usual_entry(text) or parse(text, ClientEntry, source=str(path))
        if entry.public_key in names:
            raise ConfigError(
                f"{path}: public_key: is that of client {names[entry.public_key]} as well, "
                "expected a key of its own"
            )
        names[entry.public_key] = path.stem
        if entry.allowed:
            clients[path.stem] = entry.public_key.decoded
    return clients


def _usual_entry(text: str) -> ClientEntry | None:
    """Return the entry of a file that is just as `add-client` writes it, None for any other.

    A gateway that restarts reads thousands of them before it serves; TOML in full takes ten times
    as long.
    """
    match = _USUAL.fullmatch(text)
    if match is None:
        return None
    return ClientEntry(public_key=Key(match[1]), allowed=match[2] != "false")


def _overlap(one: Subnet, other: Subnet) -> bool:
    first, second = one.parsed, other.parsed
    return first.version == second.version and (
        first.network_address in second or second.network_address in first
    )
