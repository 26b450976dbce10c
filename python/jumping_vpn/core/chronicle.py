"""The authority's moves as a client learns of them: played again through the same machine.

A message tells of a move what the client cannot know: version, states, reason, the transport's id.
The rest follows from the move before it. Where it does not follow (the authority tells a bounded
number of moves, and a client may have been away) the gap is told too, and what comes after it is
taken as it describes itself.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from jumping_vpn.core.ids import BindingEpoch, Millis, NodeId, OwnershipEpoch, StateVersion
from jumping_vpn.core.session.inputs import Input, OwnershipMoved, ReattachVerified
from jumping_vpn.core.session.machine import Moved, advance
from jumping_vpn.core.session.model import Binding, Session, State, Transport
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.session.table import TABLE
from jumping_vpn.core.wire.messages import SeenMove

REASONS: Final = {each.value: each for each in Reason}
STATES: Final = {each.value: each for each in State}


class Missed(Struct, frozen=True, kw_only=True):
    """Moves, from version `first` to `last`, that the client was not told or cannot follow."""

    first: StateVersion
    last: StateVersion


Learned: TypeAlias = Moved | Missed


class Known(Struct, frozen=True, kw_only=True):
    """What moves do not tell: the owner, the transports by their ids, and the binding granted.

    `granted` is what the move to `version` made, where the moves come with an acknowledgement.
    """

    owner: NodeId
    transport: Callable[[int], Transport | None]
    granted: Binding | None = None
    version: int = 0


def follow(
    session: Session, moves: Iterable[SeenMove], known: Known, *, now: Millis
) -> tuple[Session, tuple[Learned, ...]]:
    """Return the session after the moves that are new, and what was learned, in order."""
    learned: list[Learned] = []
    for move in moves:
        if move.version <= session.version:
            continue
        moved = _played(session, move, known, now=now)
        if moved is None:
            before = _as_told(session, move)
            _miss(learned, session, last=before.version)
            moved = _played(before, move, known, now=now)
            session = replace(before, version=StateVersion(move.version))
        if moved is None:
            _miss(learned, before, last=session.version)
        else:
            session = moved.after
            learned.append(moved)
    return session, tuple(learned)


def granted_to(
    session: Session, binding: Binding, known: Known, *, now: Millis
) -> tuple[Session, tuple[Learned, ...]]:
    """Return the session with a binding whose own move was not told, and that gap."""
    after = replace(
        session,
        state=State.ATTACHED,
        version=StateVersion(max(known.version, session.version)),
        epoch=binding.epoch,
        binding=binding,
        owner=known.owner,
        since=now,
    )
    learned: list[Learned] = []
    _miss(learned, session, last=after.version)
    return after, tuple(learned)


def _miss(learned: list[Learned], session: Session, *, last: StateVersion) -> None:
    """Add a gap after `session`, or make the gap longer that was found last."""
    first, newest = StateVersion(session.version + 1), learned[-1] if learned else None
    if isinstance(newest, Missed):
        first = newest.first
        learned.pop()
    learned.append(Missed(first=first, last=last))


def _played(session: Session, move: SeenMove, known: Known, *, now: Millis) -> Moved | None:
    """Give the machine the input that the table names; None where the move does not follow."""
    if move.version != session.version + 1 or move.before != session.state:
        return None
    given = _input_of(session, move, known)
    outcome = None if given is None else advance(session, given, now=now)
    return outcome if isinstance(outcome, Moved) and outcome.after.state == move.after else None


def _input_of(session: Session, move: SeenMove, known: Known) -> Input | None:
    reason = REASONS.get(move.reason)
    for row in TABLE:
        if session.shape not in row.before or row.after != move.after or reason not in row.reasons:
            continue
        if row.on is ReattachVerified:
            binding = _binding_of(session, move, known)
            return None if binding is None else ReattachVerified(binding=binding, reason=reason)
        epoch = OwnershipEpoch(session.ownership_epoch + 1)
        if row.on is OwnershipMoved:
            return OwnershipMoved(owner=known.owner, ownership_epoch=epoch, reason=reason)
        values: dict[str, Any] = {"epoch": session.epoch, "reason": reason}
        return row.on(**{name: values[name] for name in row.on.__struct_fields__})
    return None


def _binding_of(session: Session, move: SeenMove, known: Known) -> Binding | None:
    """Return the binding that a move made: the granted one, or one that never was used here."""
    if known.granted is not None and move.version == known.version:
        return known.granted if known.granted.epoch > session.epoch else None
    transport = known.transport(move.transport)
    if transport is None:
        return None
    epoch = BindingEpoch(session.epoch + 1)
    return Binding(epoch=epoch, transport=transport, confirmed=False, since=session.since)


def _as_told(session: Session, move: SeenMove) -> Session:
    """Return the session as a move says that it was, whatever was missed before it."""
    state = STATES.get(move.before, session.state)
    if state in {State.ATTACHED, State.VOLATILE} and session.binding is None:
        state = State.RECOVERING
    bound = state in {State.ATTACHED, State.VOLATILE, State.DEGRADED}
    return replace(
        session,
        state=state,
        version=StateVersion(move.version - 1),
        binding=session.binding if bound else None,
    )
