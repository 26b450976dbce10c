"""The invariants of the session contract as named checks, over a move and over a record.

The machine runs the checks of a move at every commit, the audit over every event it reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jumping_vpn.core.ids import VERSION_MAX
from jumping_vpn.core.session.model import Session, Shape, State


class InvariantBroken(AssertionError):
    """The program is wrong. Never caught, never stripped."""


def ensure(holds: bool, broken: str, *about: object) -> None:  # noqa: FBT001  it is the condition
    """Raise InvariantBroken with the text `broken` unless the condition `holds`.

    The text is made from `about` only then: telling a whole session costs more than the check.
    """
    if not holds:
        raise InvariantBroken(broken.format(*about))


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """One check of a move: `number` is the contract's, `holds` takes the sessions around it."""

    number: int
    name: str
    text: str
    holds: Callable[[Session, Session], bool]


def is_bound_as_state_says(session: Session) -> bool:
    """Say whether a session has a binding where its state needs one, and none where it may not."""
    match session.state:
        case State.ATTACHED | State.VOLATILE:
            return session.binding is not None
        case State.DEGRADED:
            return True
        case _:
            return session.binding is None


def _binding_returns_explicitly(before: Session, after: Session) -> bool:
    if after.binding is None or after.binding == before.binding:
        return True
    return after.state is State.ATTACHED and after.binding.epoch > before.epoch


def _epoch_is_highest(before: Session, after: Session) -> bool:
    bound = after.epoch if after.binding is None else after.binding.epoch
    return after.epoch >= before.epoch and after.epoch == bound


def _owner_changes_with_epoch(before: Session, after: Session) -> bool:
    if after.ownership_epoch == before.ownership_epoch:
        return after.owner == before.owner
    return after.ownership_epoch > before.ownership_epoch


INVARIANTS: Final = (
    Invariant(
        number=1,
        name="single_active_binding",
        text="ATTACHED and VOLATILE have one binding, DEGRADED at most one, the others none.",
        holds=lambda _, after: is_bound_as_state_says(after),
    ),
    Invariant(
        number=3,
        name="monotonic_version",
        text="The version grows by exactly one with each move.",
        holds=lambda before, after: after.version == before.version + 1,
    ),
    Invariant(
        number=3,
        name="bounded_version",
        text="Versions have 64 bits; the last that they can number is TERMINATED.",
        holds=lambda _, after: (
            0 < after.version < VERSION_MAX
            or (after.version == VERSION_MAX and after.state is State.TERMINATED)
        ),
    ),
    Invariant(
        number=3,
        name="first_version",
        text="A birth, and only a birth, has version 0: the first move makes version 1.",
        holds=lambda before, _: (before.state is State.BIRTH) == (before.version == 0),
    ),
    Invariant(
        number=4,
        name="no_identity_reset",
        text="The session id never changes.",
        holds=lambda before, after: after.session_id == before.session_id,
    ),
    Invariant(
        number=5,
        name="no_implicit_recovery",
        text="A binding appears only with the move to ATTACHED, under an epoch never used before.",
        holds=_binding_returns_explicitly,
    ),
    Invariant(
        number=7,
        name="no_epoch_reuse",
        text="The highest binding epoch never falls, and is that of the binding if there is one.",
        holds=_epoch_is_highest,
    ),
    Invariant(
        number=8,
        name="one_owner",
        text="The owner changes only together with a higher ownership epoch.",
        holds=_owner_changes_with_epoch,
    ),
    Invariant(
        number=9,
        name="absorbing_end",
        text="TERMINATED has no exit.",
        holds=lambda before, _: before.shape is not Shape.TERMINATED,
    ),
)


def broken_by_move(before: Session, after: Session) -> tuple[Invariant, ...]:
    """Return the invariants that a move from `before` to `after` breaks."""
    return tuple(each for each in INVARIANTS if not each.holds(before, after))


def check_move(before: Session, after: Session) -> None:
    """Raise InvariantBroken if a move breaks an invariant."""
    broken = broken_by_move(before, after)
    ensure(not broken, "{} by {} -> {}", [each.name for each in broken], before, after)
