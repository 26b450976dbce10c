"""The client's role: facts, discovery and time in; what to do next out. No I/O."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jumping_vpn.core.client_state import ClientState
from jumping_vpn.core.commands import Discovery
from jumping_vpn.core.facts import Fact
from jumping_vpn.core.ready import Derive, Derived, Ready

if TYPE_CHECKING:
    from jumping_vpn.core.ids import Millis, SessionId
    from jumping_vpn.core.policy.limits import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """What the configuration says; `requested` is the policy that the client asks for."""

    name: str
    version: str
    requested: "Policy"
    handshake_timeout: "Millis"
    predecessor: "SessionId | None" = None
    keep_state: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Activated:
    """What `activate` returned: the uplink packets sent again, given up, and in doubt."""

    resent: int
    given_up: int
    in_doubt: int


class ClientCore:
    """One per run. Give it every input in order; perform each `Ready` before the next input.

    `entropy` is at least 64 fresh random bytes for the ids of events.
    """

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings

    def start(
        self, state: ClientState | None, *, now: "Millis", wall_ms: int, entropy: bytes
    ) -> Ready:
        """Continue the session of the state file, or wait for a candidate to shake hands on."""
        raise NotImplementedError

    def handle(
        self, given: Fact | Discovery, *, now: "Millis", wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what a fact, a find of discovery or an order of the person means."""
        raise NotImplementedError

    def derived(
        self, derive: Derive, derived: Derived, *, now: "Millis", wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what follows a performed `derive`."""
        raise NotImplementedError

    def activated(
        self, figures: Activated, *, now: "Millis", wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what follows a performed `Activate`, with the figures that it returned."""
        raise NotImplementedError

    def wake(self, *, now: "Millis", wall_ms: int, entropy: bytes) -> Ready:
        """Return what is due."""
        raise NotImplementedError
