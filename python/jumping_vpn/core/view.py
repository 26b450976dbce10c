"""The client's view of its session: what the authority acknowledged, never a version of its own."""

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import msgspec

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
from jumping_vpn.core.session.model import Binding, Session, State, Transport
from jumping_vpn.core.wire.messages import Envelope, HandshakeAck, SeenMove

Learned: TypeAlias = tuple[SeenMove, Session, Session]
"""A move that the authority told, with the session before and after it."""

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
    """What the client knows: the session as acknowledged, its policy, what it was granted."""

    session: Session
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

    def learn(self, moves: tuple[SeenMove, ...]) -> tuple[Learned, ...]:
        """Take over the moves that are new, and return each with the session around it."""
        learned = []
        for move in moves:
            if move.version <= self.session.version:
                continue
            state = State.__members__.get(move.after, self.session.state)
            before = self.session
            self.session = replace(before, state=state, version=StateVersion(move.version))
            learned.append((move, before, self.session))
        return tuple(learned)

    def bind(self, binding: Binding, *, owner: int, version: int) -> None:
        """Take over a binding that the authority granted."""
        self.session = replace(
            self.session,
            state=State.ATTACHED,
            binding=binding,
            epoch=binding.epoch,
            owner=NodeId(owner),
            version=StateVersion(max(version, self.session.version)),
        )

    def confirm(self) -> None:
        """Note that the gateway has heard us under the present binding."""
        binding = self.session.binding
        if binding is not None:
            self.session = replace(self.session, binding=replace(binding, confirmed=True))

    def unbind(self) -> None:
        """Note that the client has given its binding up. Version and epoch stay."""
        self.session = replace(self.session, binding=None)

    def to_state(self, counters: Counters, lookup_ids: tuple[bytes, ...]) -> ClientState:
        """Return what the state file must hold."""
        session = self.session
        return ClientState(
            session_id=session.session_id,
            epoch=session.epoch,
            owner=session.owner,
            root=self.root,
            version=session.version,
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


def granted(message: Envelope, ack: HandshakeAck, transport: Transport, *, now: Millis) -> View:
    """Return the view of a session that was just granted; PolicyError if its policy is not one."""
    policy = Policy.from_mapping(ack.policy)
    session = Session(
        session_id=SessionId(message.session_id),
        state=State.ATTACHED,
        version=StateVersion(message.state_version),
        epoch=BindingEpoch(1),
        binding=Binding(epoch=BindingEpoch(1), transport=transport, confirmed=True, since=now),
        owner=NodeId(ack.owner),
        ownership_epoch=OwnershipEpoch(1),
        since=now,
    )
    return View(
        session=session,
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


def restored(state: ClientState, *, now: Millis) -> tuple[View, Counters]:
    """Return the view and the counters that a state file continues; nothing is bound."""
    session = Session(
        session_id=SessionId(state.session_id),
        state=State.RECOVERING,
        version=StateVersion(state.version),
        epoch=BindingEpoch(state.epoch),
        binding=None,
        owner=NodeId(state.owner),
        ownership_epoch=OwnershipEpoch(1),
        since=now,
    )
    view = View(
        session=session,
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
