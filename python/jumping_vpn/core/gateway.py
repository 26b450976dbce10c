"""The gateway's role: facts, commands and time in; what to do next out. No I/O."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from jumping_vpn.core.commands import Command
from jumping_vpn.core.facts import Fact
from jumping_vpn.core.ready import Derive, Derived, Ready, SaveFailure

if TYPE_CHECKING:
    from jumping_vpn.core.ids import Millis, NodeId, SessionId
    from jumping_vpn.core.policy.limits import Policy
    from jumping_vpn.core.record import Record

Allocate: TypeAlias = "Callable[[SessionId], tuple[str, ...] | None]"
"""Choose a session's inner addresses (the same again for the same session); None: none are left."""
NameOf: TypeAlias = Callable[[bytes], str | None]
"""Return the configured name of a client's public key, None for a key that is not allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """What the node grants and announces; `policy` is the operator's, clients may ask for less."""

    node_id: "NodeId"
    incarnation: int
    policy: "Policy"
    policy_version: int
    routes: tuple[str, ...]
    dns: tuple[str, ...]
    endpoints: tuple[str, ...]
    mtu: int
    lookup_ids: int = 8


class GatewayCore:
    """One per node. Give it each fact with its session's newest record, one at a time per session.

    It keeps only what may be lost: rates, judgement, recent moves. The rest is in the record.
    `entropy` is at least 64 fresh random bytes for the ids of events.
    """

    def __init__(self, settings: GatewaySettings, *, allocate: Allocate, name_of: NameOf) -> None:
        self._settings = settings
        self._allocate = allocate
        self._name_of = name_of

    def handle(
        self,
        fact: Fact,
        record: "Record | None",
        *,
        now: "Millis",
        wall_ms: int,
        entropy: bytes,
    ) -> Ready:
        """Return what a fact means. `record` None: the store has no such session (linearizable)."""
        raise NotImplementedError

    def derived(
        self, derive: Derive, derived: Derived, *, now: "Millis", wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what follows a performed `derive`."""
        raise NotImplementedError

    def unsaved(
        self, ready: Ready, failure: SaveFailure, *, now: "Millis", wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what to do instead of the rest of `ready`, whose save failed."""
        raise NotImplementedError

    def command(
        self, command: Command, record: "Record", *, now: "Millis", wall_ms: int, entropy: bytes
    ) -> Ready:
        """Return what an operator's command means for this session."""
        raise NotImplementedError

    def wake(self, record: "Record", *, now: "Millis", wall_ms: int, entropy: bytes) -> Ready:
        """Return what is due; also for each record after a restart, in the background."""
        raise NotImplementedError

    def forget(self, session_id: "SessionId") -> None:
        """Drop the volatile memory of a session that is over."""
        raise NotImplementedError
