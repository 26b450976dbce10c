"""The machine: one function looks the row up, makes the successor, checks the invariants."""

from typing import TypeAlias

from msgspec import Struct

from jumping_vpn.core.ids import VERSION_MAX, Millis, StateVersion
from jumping_vpn.core.session.inputs import (
    OBSERVATIONS,
    HandshakeVerified,
    Input,
    OwnershipMoved,
    ReattachVerified,
    VersionExhausted,
    named_reason,
)
from jumping_vpn.core.session.invariants import check_move, ensure
from jumping_vpn.core.session.model import Binding, Session
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.session.table import Effect, Row, row_for


class Moved(Struct, frozen=True, kw_only=True):
    """The session made one move; `after` is the next version of `before`."""

    before: Session
    after: Session
    input: Input
    reason: Reason


class Refused(Struct, frozen=True, kw_only=True):
    """Nothing happened: `session` is the very object that was given."""

    session: Session
    input: Input
    reason: Reason


Outcome: TypeAlias = Moved | Refused


def advance(session: Session, given: Input, *, now: Millis) -> Outcome:
    """Return what `given` makes of `session`: the next version, or a refusal."""
    if is_stale(session, given):
        return Refused(session=session, input=given, reason=Reason.STALE_SIGNAL)
    row = row_for(session.shape, type(given))
    if row is None:
        return Refused(session=session, input=given, reason=Reason.NO_SUCH_MOVE)
    if session.version + 1 >= VERSION_MAX and not isinstance(given, VersionExhausted):
        return advance(session, VersionExhausted(), now=now)

    after = _successor(session, row, given, now=now)
    reason = named_reason(given) or row.reasons[0]
    ensure(reason in row.reasons, "{} is no reason of {}", reason, row)
    is_new = after.epoch > session.epoch
    ensure(is_new or row.effect is not Effect.BIND, "binding epoch {} used before", after.epoch)
    check_move(session, after)
    return Moved(before=session, after=after, input=given, reason=reason)


def is_stale(session: Session, given: Input) -> bool:
    """Say whether `given` was observed on a binding that the session does not have."""
    if not isinstance(given, OBSERVATIONS):
        return False
    return session.binding is None or session.binding.epoch != given.epoch


def _successor(session: Session, row: Row, given: Input, *, now: Millis) -> Session:
    binding = _binding_after(session.binding, row.effect, given)
    owner, ownership_epoch = session.owner, session.ownership_epoch
    if isinstance(given, OwnershipMoved):
        owner, ownership_epoch = given.owner, given.ownership_epoch
    return Session(
        session_id=session.session_id,
        state=row.after,
        version=StateVersion(session.version + 1),
        epoch=session.epoch if binding is None else binding.epoch,
        binding=binding,
        owner=owner,
        ownership_epoch=ownership_epoch,
        since=session.since if row.after is session.state else now,
    )


def _binding_after(binding: Binding | None, effect: Effect, given: Input) -> Binding | None:
    if effect is Effect.KEEP:
        return binding
    if isinstance(given, HandshakeVerified | ReattachVerified):
        return given.binding
    return None
