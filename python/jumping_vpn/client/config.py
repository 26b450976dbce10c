"""What a client's one configuration file says, without its private key: Python never sees it."""

import os
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from jumping_vpn.service.paths import ServicePaths
from jumping_vpn.system.settings import Endpoint, InterfaceName, Key, check_policy, parse

STATE_ROOT: Final = Path("/var/lib/jumping-vpn")
STATE_VARIABLE: Final = "JVPN_STATE_DIR"
MTU_MIN: Final = 1280
MTU_MAX: Final = 65535

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
Meta = msgspec.Meta
Overrides: TypeAlias = dict[str, Any]
"""A policy's fields as they stand in the file; the policy itself checks names and bounds."""


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[gateway]` table: who it is and where to find it."""

    public_key: Annotated[Key, Meta(description="The gateway's public key, in base64.")]
    endpoints: Annotated[
        tuple[Endpoint, ...],
        Meta(min_length=1, description="Where the gateway is; of a name, every address is used."),
    ]
    node: Annotated[int, Meta(ge=1, le=65535, description="The gateway's number.")] = 1


class TunnelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[tunnel]` table: the interface that the tunnel has here."""

    interface: Annotated[InterfaceName, Meta(description="The TUN interface.")] = InterfaceName(
        "jvpn0"
    )
    mtu: Annotated[
        int | None,
        Meta(description="The largest packet inside the tunnel; by default as the paths allow."),
    ] = None
    keep_local_networks: Annotated[
        bool,
        Meta(description="Whether a default route in the tunnel spares this machine's networks."),
    ] = True

    def __post_init__(self) -> None:
        if self.mtu is not None and not MTU_MIN <= self.mtu <= MTU_MAX:
            raise ValueError(f"mtu: expected {MTU_MIN} to {MTU_MAX}, got {self.mtu}")


class InterfaceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[interfaces]` table: which interfaces may carry the session, in order of preference.

    Names may be patterns such as `wlan*`. Without `include`, all but those that `exclude` names.
    """

    include: Annotated[
        tuple[str, ...], Meta(description="Only these may carry the session; none: all may.")
    ] = ()
    exclude: Annotated[tuple[str, ...], Meta(description="These never carry the session.")] = ()
    preference: Annotated[
        tuple[str, ...], Meta(description="Of equally good ones, the first of these is used.")
    ] = ()


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration file; `private_key` is blank by the time it comes here."""

    name: Annotated[str, Meta(pattern=NAME, description="The name the gateway knows it by.")]
    private_key: Annotated[str, Meta(description="The private key, in base64; never shared.")] = ""
    reveal_addresses: Annotated[
        bool, Meta(description="Whether events carry whole addresses instead of their prefixes.")
    ] = False
    gateway: Annotated[GatewaySettings, Meta(description="Which gateway, and where it is.")]
    tunnel: Annotated[TunnelSettings, Meta(description="The tunnel's interface here.")] = (
        msgspec.field(default_factory=TunnelSettings)
    )
    interfaces: Annotated[
        InterfaceSettings, Meta(description="What may carry the session; patterns as `wlan*`.")
    ] = InterfaceSettings()
    policy: Annotated[
        Overrides, Meta(description="What is asked for; see the table of policy fields.")
    ] = {}


class ClientPaths(ServicePaths):
    """Where each file of a client's state directory lies."""

    __slots__ = ()

    @property
    def state(self) -> Path:
        """What the session needs to go on after a restart."""
        return self.directory / "session.state"


def parse_client(blanked: str, *, source: str) -> ClientConfig:
    """Return what the text of a configuration file says, its private key blanked out."""
    config = parse(blanked, ClientConfig, source=source)
    check_policy(config.policy, blanked, source=source)
    return config


def state_directory(name: str, given: Path | None) -> Path:
    """Return where the client `name` keeps its state: given, from the environment, or default."""
    if given is not None:
        return given
    named = os.environ.get(STATE_VARIABLE)
    return Path(named) if named else STATE_ROOT / name
