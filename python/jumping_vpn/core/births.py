"""The birth of a session at the gateway: what it grants or refuses, and the first record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jumping_vpn.core.course import Course, Moment
from jumping_vpn.core.desk import Desk, differences
from jumping_vpn.core.facts import BirthProven
from jumping_vpn.core.ids import (
    Attempt,
    BindingEpoch,
    OwnershipEpoch,
    SessionId,
    SessionNumber,
)
from jumping_vpn.core.policy.deadlines import Deadlines
from jumping_vpn.core.policy.limits import Policy, PolicyError
from jumping_vpn.core.ready import AdoptBirth, Derived, Grant, Ready, RejectBirth, SealBirth
from jumping_vpn.core.reattach import STORE_RETRY
from jumping_vpn.core.record import Reading, Record, Root
from jumping_vpn.core.session.inputs import HandshakeVerified
from jumping_vpn.core.session.model import Binding, Transport, begin
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import Malformation, ProtocolError, decode

LOWERED_ONLY: Final = (
    "session_ttl",
    "transport_loss_ttl",
    "recovery_window",
    "peer_silence_max",
    "max_switches_per_minute",
    "replay_window",
    "proof_max_age",
    "reattach_rate",
    "reattach_burst",
    "handshake_rate",
    "handshake_burst",
    "retain_time",
    "retain_bytes",
    "max_candidates",
    "max_hops",
)
"""What costs or endangers the gateway: a client gets at most what the operator allows."""
RAISED_ONLY: Final = ("heartbeat_interval", "heartbeat_idle", "switch_cooldown")
"""The same, where a smaller figure is the dearer one."""

MALFORMED: Final = m.HandshakeRefusal.MESSAGE_MALFORMED
REFUSALS: Final = {Malformation.UNKNOWN_VERSION: m.HandshakeRefusal.VERSION_NOT_SUPPORTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A session about to be: everything that its first record holds but the sealed root."""

    birth: int
    session_id: SessionId
    client_name: str
    client_public: bytes
    addresses: tuple[str, ...]
    policy: Policy
    policy_version: int
    predecessor: SessionId | None
    transport: Transport
    control_floor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BirthRefused:
    """No session: why, and what a person should know."""

    reason: m.HandshakeRefusal
    detail: str


def grant_policy(operator: Policy, requested: Mapping[str, object]) -> Policy | BirthRefused:
    """Return what a client gets that asked for `requested`: never more than the operator allows."""
    try:
        wanted = Policy.from_mapping({**operator.to_mapping(), **requested})
        terms = wanted.to_mapping()
        for name in LOWERED_ONLY:
            terms[name] = min(getattr(wanted, name), getattr(operator, name))
        for name in RAISED_ONLY:
            terms[name] = max(getattr(wanted, name), getattr(operator, name))
        allowed = (
            each for each in wanted.allowed_transports if each in operator.allowed_transports
        )
        return Policy.from_mapping({**terms, "allowed_transports": tuple(allowed)})
    except PolicyError as refused:
        return BirthRefused(reason=m.HandshakeRefusal.POLICY_REFUSED, detail=str(refused)[:200])


def transport_of(candidate: m.Candidate) -> Transport:
    """Return the transport that a message names."""
    return Transport(
        id=candidate.id,
        adapter=candidate.adapter,
        interface=candidate.interface,
        endpoint=candidate.endpoint,
        hops=candidate.hops,
    )


def answer(desk: Desk, fact: BirthProven, record: Record | None, moment: Moment) -> Ready:
    """Return what a client's first packet means: a root to seal, a grant again, or a refusal."""
    session_id = SessionId(fact.session_id)
    if record is not None:
        again = grant(desk, record, moment)
        return Ready(send=(again,), wake_at=desk.next_waking(record, now=moment.now))
    birth = _conceive(desk, fact)
    if isinstance(birth, Birth):
        return Ready(derive=SealBirth(birth=fact.birth, plan=birth))
    payload = m.HandshakeReject(reason=birth.reason, detail=birth.detail[:200])
    envelope = desk.unborn_envelope(session_id, payload, moment)
    return Ready(send=(RejectBirth(birth=fact.birth, message=envelope),))


def complete(desk: Desk, birth: Birth, derived: Derived, moment: Moment) -> Ready:
    """Return the first write of a session, its binding, and the grant."""
    course = Course(
        _first_record(birth, derived.sealed, moment, desk), moment, desk.settings.origin
    )
    binding = Binding(
        epoch=BindingEpoch(1), transport=birth.transport, confirmed=True, since=moment.now
    )
    course.apply(HandshakeVerified(binding=binding))
    desk.memory_of(course.record, now=moment.now).live_from = BindingEpoch(1)
    adopt = AdoptBirth(birth=birth.birth, addresses=birth.addresses, policy=birth.policy)
    granted = grant(desk, course.record, moment)
    return desk.close(course, bind=(adopt,), send=(granted,), create=True)


def refuse_unsaved(desk: Desk, birth: int, record: Record, moment: Moment) -> Ready:
    """Return the answer to a birth whose session could not be made durable."""
    session_id = record.session.session_id
    desk.forget(session_id)
    payload = m.HandshakeReject(
        reason=m.HandshakeRefusal.STORE_UNAVAILABLE, retry_after_ms=STORE_RETRY
    )
    envelope = desk.unborn_envelope(session_id, payload, moment)
    return Ready(send=(RejectBirth(birth=birth, message=envelope),))


def grant(desk: Desk, record: Record, moment: Moment) -> Grant:
    """Return HANDSHAKE_ACK with everything that the session was granted."""
    settings, policy = desk.settings, record.policy
    payload = m.HandshakeAck(
        client_name=record.client_name,
        owner=record.session.owner,
        policy=differences(policy),
        policy_version=record.policy_version,
        policy_hash=bytes.fromhex(policy.hash()),
        addresses=record.addresses,
        routes=settings.routes,
        dns=settings.dns,
        mtu=settings.mtu,
        endpoints=settings.endpoints,
    )
    envelope = desk.envelope(record.session, payload, moment)
    return Grant(number=record.number, message=envelope, ids=settings.lookup_ids)


def _conceive(desk: Desk, fact: BirthProven) -> Birth | BirthRefused:
    try:
        envelope = decode(fact.message)
    except ProtocolError as error:
        return BirthRefused(reason=REFUSALS.get(error.what, MALFORMED), detail=str(error))
    message, session_id = envelope.payload, SessionId(fact.session_id)
    if not isinstance(message, m.HandshakeInit) or envelope.session_id != session_id:
        return BirthRefused(reason=MALFORMED, detail="not this session's HANDSHAKE_INIT")
    name = desk.name_of(fact.client_public)
    if name is None:
        return BirthRefused(reason=m.HandshakeRefusal.CLIENT_NOT_ALLOWED, detail="")
    policy = grant_policy(desk.settings.policy, message.policy)
    if isinstance(policy, BirthRefused):
        return policy
    addresses = desk.allocate(session_id)
    if addresses is None:
        return BirthRefused(reason=m.HandshakeRefusal.NO_ADDRESS_LEFT, detail="")
    return Birth(
        birth=fact.birth,
        session_id=session_id,
        client_name=name,
        client_public=fact.client_public,
        addresses=addresses,
        policy=policy,
        policy_version=desk.settings.policy_version,
        predecessor=None if message.predecessor is None else SessionId(message.predecessor),
        transport=transport_of(message.candidate),
        control_floor=envelope.sequence,
    )


def _first_record(birth: Birth, sealed: bytes, moment: Moment, desk: Desk) -> Record:
    owner, first = desk.settings.node_id, OwnershipEpoch(1)
    return Record(
        session=begin(birth.session_id, owner=owner, ownership_epoch=first, now=moment.now),
        policy=birth.policy,
        policy_version=birth.policy_version,
        number=SessionNumber(0),
        client_name=birth.client_name,
        client_public=birth.client_public,
        addresses=birth.addresses,
        confirmed=Root(epoch=BindingEpoch(1), sealed=sealed, attempt=Attempt(0)),
        unconfirmed=None,
        attempt_floor=Attempt(0),
        control_floor=birth.control_floor,
        jumps=(),
        deadlines=Deadlines(),
        created_wall_ms=moment.wall_ms,
        predecessor=birth.predecessor,
        written=Reading(
            now=moment.now, wall_ms=moment.wall_ms, incarnation=desk.settings.incarnation
        ),
    )
