"""What a client's one configuration file says, without its private key: Python never sees it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from jumping_vpn.system.settings import Endpoint, InterfaceName, Key, parse

STATE_ROOT: Final = Path("/var/lib/jumping-vpn")
STATE_VARIABLE: Final = "JVPN_STATE_DIR"

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Mtu = Annotated[int, msgspec.Meta(ge=1280, le=65535)]
Overrides: TypeAlias = dict[str, Any]
"""A policy's fields as they stand in the file; the policy itself checks names and bounds."""


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[gateway]` table: who it is and where to find it."""

    public_key: Key
    endpoints: Annotated[tuple[Endpoint, ...], msgspec.Meta(min_length=1)]
    node: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1


class TunnelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[tunnel]` table: the interface that the tunnel has here."""

    interface: InterfaceName = InterfaceName("jvpn0")
    mtu: Mtu | None = None
    keep_local_networks: bool = True


class InterfaceSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[interfaces]` table: which interfaces may carry the session, in order of preference.

    Names may be patterns such as `wlan*`. Without `include`, all but those that `exclude` names.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    preference: tuple[str, ...] = ()


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration file; `private_key` is blank by the time it comes here."""

    name: Name
    private_key: str = ""
    gateway: GatewaySettings
    tunnel: TunnelSettings = TunnelSettings()
    interfaces: InterfaceSettings = InterfaceSettings()
    policy: Overrides = {}


@dataclass(frozen=True, slots=True)
class ClientPaths:
    """Where each file of a client's state directory lies."""

    directory: Path

    @property
    def state(self) -> Path:
        """What the session needs to go on after a restart."""
        return self.directory / "session.state"

    @property
    def events(self) -> Path:
        """The client's audit log."""
        return self.directory / "events.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the running client."""
        return self.directory / "lock"

    @property
    def control(self) -> Path:
        """The control socket of the running client."""
        return self.directory / "control.sock"

    @property
    def journal(self) -> Path:
        """What the running client changed in this machine's network."""
        return self.directory / "network.journal"


def parse_client(blanked: str, *, source: str) -> ClientConfig:
    """Return what the text of a configuration file says, its private key blanked out."""
    return parse(blanked, ClientConfig, source=source)


def state_directory(name: str, given: Path | None) -> Path:
    """Return where the client `name` keeps its state: given, from the environment, or default."""
    if given is not None:
        return given
    named = os.environ.get(STATE_VARIABLE)
    return Path(named) if named else STATE_ROOT / name
