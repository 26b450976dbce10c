"""The client's view of its session: what the authority acknowledged, never a version of its own."""

from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec.structs import replace

from jumping_vpn.core.chronicle import STATES, Known, Learned, follow, granted_to
from jumping_vpn.core.client_state import ClientState
from jumping_vpn.core.ids import (
    Attempt,
    BindingEpoch,
    Millis,
    NodeId,
    OwnershipEpoch,
    SessionId,
    StateVersion,
)
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.inputs import HandshakeVerified
from jumping_vpn.core.session.machine import Moved, advance
from jumping_vpn.core.session.model import Binding, Session, State, Transport, begin
from jumping_vpn.core.wire.messages import Envelope, HandshakeAck, SeenMove

ATTEMPTS_BLOCK: Final = 64
SEQUENCES_BLOCK: Final = 1024
TRANSPORTS_BLOCK: Final = 64


@dataclass(slots=True, kw_only=True)
class Counters:
    """Numbers that are used once: the last one used, and the end of the block reserved on disk."""

    attempt: int = 0
    attempts_reserved: int = 0
    sequence: int = 0
    sequences_reserved: int = 0
    transports_reserved: int = 0

    def next_attempt(self) -> Attempt:
        """Return a number for an attempt that was never used."""
        self.attempt += 1
        return Attempt(self.attempt)

    def next_sequence(self) -> int:
        """Return a number for a control message that was never used."""
        self.sequence += 1
        return self.sequence

    def is_short(self, *, transport: int) -> bool:
        """Say whether a number in use lies beyond its reserved block."""
        return (
            self.attempt > self.attempts_reserved
            or self.sequence > self.sequences_reserved
            or transport > self.transports_reserved
        )

    def reserve(self, *, transport: int) -> None:
        """Move the end of every block ahead of what is in use."""
        self.attempts_reserved = self.attempt + ATTEMPTS_BLOCK
        self.sequences_reserved = self.sequence + SEQUENCES_BLOCK
        self.transports_reserved = transport + TRANSPORTS_BLOCK


@dataclass(slots=True, kw_only=True)
class View:
    """What the client knows: the session as acknowledged, its policy, what it was granted.

    `binding` is what the client uses: None from the moment it gives a binding up, while `session`
    has it until the authority says that it is lost. `epoch` is the highest it was ever granted.
    """

    session: Session
    binding: Binding | None
    epoch: BindingEpoch
    policy: Policy
    policy_version: int
    root: bytes
    addresses: tuple[str, ...]
    routes: tuple[str, ...]
    dns: tuple[str, ...]
    mtu: int
    endpoints: tuple[str, ...]
    session_ends_ms: int
    sequence_seen: int = 0

    def is_newer(self, message: Envelope) -> bool:
        """Say whether a message is of this session and neither its sequence nor version go back."""
        return (
            message.session_id == self.session.session_id and message.sequence > self.sequence_seen
        )

    @property
    def standing(self) -> State:
        """Return the state as it is here: who has given its binding up is not attached."""
        bound = self.session.state in {State.ATTACHED, State.VOLATILE}
        return State.RECOVERING if bound and self.binding is None else self.session.state

    def learn(
        self, moves: tuple[SeenMove, ...], known: Known, *, now: Millis
    ) -> tuple[Learned, ...]:
        """Take over the moves that are new, and return what was learned."""
        self.session, learned = follow(self.session, moves, known, now=now)
        return learned

    def bind(
        self, binding: Binding, moves: tuple[SeenMove, ...], known: Known, *, now: Millis
    ) -> tuple[Learned, ...]:
        """Take over a binding that the authority granted, and the moves that led to it."""
        learned = self.learn(moves, known, now=now)
        if self.session.binding != binding:
            self.session, missed = granted_to(self.session, binding, known, now=now)
            learned += missed
        self.binding, self.epoch = binding, binding.epoch
        return learned

    def confirm(self) -> None:
        """Note that the gateway has heard us under the present binding."""
        if self.binding is not None:
            heard = replace(self.binding, confirmed=True)
            if self.session.binding == self.binding:
                self.session = replace(self.session, binding=heard)
            self.binding = heard

    def unbind(self) -> None:
        """Note that the client has given its binding up. The authority's word comes later."""
        self.binding = None

    def to_state(self, counters: Counters, lookup_ids: tuple[bytes, ...]) -> ClientState:
        """Return what the state file must hold."""
        session = self.session
        return ClientState(
            session_id=session.session_id,
            epoch=self.epoch,
            owner=session.owner,
            root=self.root,
            version=session.version,
            state=session.state,
            highest_epoch=session.epoch,
            ownership_epoch=session.ownership_epoch,
            transport="" if session.binding is None else str(session.binding.transport),
            attempts_reserved=counters.attempts_reserved,
            sequences_reserved=counters.sequences_reserved,
            transports_reserved=counters.transports_reserved,
            sequence_seen=self.sequence_seen,
            lookup_ids=lookup_ids,
            policy=msgspec.json.encode(self.policy.to_mapping()),
            policy_version=self.policy_version,
            addresses=self.addresses,
            routes=self.routes,
            dns=self.dns,
            mtu=self.mtu,
            endpoints=self.endpoints,
            session_ends_ms=self.session_ends_ms,
        )


def granted(
    message: Envelope, ack: HandshakeAck, transport: Transport, *, now: Millis
) -> tuple[View, Moved]:
    """Return the view of a session that was just granted; PolicyError if its policy is not one.

    The session begins with its first version, whichever the grant was sent under: what the
    authority did since is told by it in order.
    """
    policy = Policy.from_mapping(ack.policy)
    born = begin(
        SessionId(message.session_id),
        owner=NodeId(ack.owner),
        ownership_epoch=OwnershipEpoch(1),
        now=now,
    )
    binding = Binding(epoch=BindingEpoch(1), transport=transport, confirmed=True, since=now)
    created = advance(born, HandshakeVerified(binding=binding), now=now)
    if not isinstance(created, Moved):
        raise TypeError(f"a birth is never refused: {created}")
    view = View(
        session=created.after,
        binding=binding,
        epoch=binding.epoch,
        policy=policy,
        policy_version=ack.policy_version,
        root=b"",
        addresses=ack.addresses,
        routes=ack.routes,
        dns=ack.dns,
        mtu=ack.mtu,
        endpoints=ack.endpoints,
        session_ends_ms=message.ts_ms + policy.session_ttl,
        sequence_seen=message.sequence,
    )
    return view, created


def restored(state: ClientState, *, now: Millis) -> tuple[View, Counters]:
    """Return the view and the counters that a state file continues; nothing is bound."""
    epoch = BindingEpoch(max(state.epoch, state.highest_epoch))
    session = Session(
        session_id=SessionId(state.session_id),
        state=STATES[state.state],
        version=StateVersion(state.version),
        epoch=epoch,
        binding=_restored_binding(state.transport, epoch, now=now),
        owner=NodeId(state.owner),
        ownership_epoch=OwnershipEpoch(state.ownership_epoch),
        since=now,
    )
    view = View(
        session=session,
        binding=None,
        epoch=BindingEpoch(state.epoch),
        policy=Policy.from_mapping(msgspec.json.decode(state.policy)),
        policy_version=state.policy_version,
        root=state.root,
        addresses=state.addresses,
        routes=state.routes,
        dns=state.dns,
        mtu=state.mtu,
        endpoints=state.endpoints,
        session_ends_ms=state.session_ends_ms,
        sequence_seen=state.sequence_seen,
    )
    counters = Counters(attempt=state.attempts_reserved, sequence=state.sequences_reserved)
    counters.attempts_reserved = counters.attempt
    counters.sequences_reserved = counters.sequence
    counters.transports_reserved = state.transports_reserved
    return view, counters


def _restored_binding(transport: str, epoch: BindingEpoch, *, now: Millis) -> Binding | None:
    """Return the binding that the authority had when the state was written."""
    if not transport:
        return None
    return Binding(epoch=epoch, transport=Transport.parse(transport), confirmed=True, since=now)
