"""Deadlines: the bounds in time that every session runs into unless something happens first.

Inside a process they are readings of its monotonic clock. Across a restart the record carries what
is left of them: time away counts, and no deadline ever moves later. A binding that never carried a
packet does not end a loss: until the confirmation, the window and the TTL of the loss keep running.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from jumping_vpn.core.ids import BindingEpoch, Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.inputs import (
    BindingLost,
    DegradationExpired,
    Input,
    RecoveryWindowClosed,
    SessionTtlExpired,
    TransportLossTtlExpired,
    VolatilityExpired,
)
from jumping_vpn.core.session.machine import Moved
from jumping_vpn.core.session.model import Session, Shape
from jumping_vpn.core.session.reasons import Reason

CONFIRM_FLOOR: Final = Millis(500)
CONFIRM_UNKNOWN: Final = Millis(2000)
CONFIRM_DOUBLINGS_MAX: Final = 6


class Deadlines(Struct, frozen=True, kw_only=True):
    """When each bound of the session falls due; None where it does not run."""

    session_ends: Millis | None = None
    transport_loss_ends: Millis | None = None
    recovery_ends: Millis | None = None
    volatile_ends: Millis | None = None
    degraded_ends: Millis | None = None
    confirm_ends: Millis | None = None

    def remaining(self, *, now: Millis) -> "Deadlines":
        """Return the same bounds as durations from `now`; what is past has 0 left."""
        return self._mapped(lambda at: Millis(max(0, at - now)))

    def resume(self, *, now: Millis, away_ms: int) -> "Deadlines":
        """Take these as durations left `away_ms` ago, and return them as deadlines from `now`."""
        return self._mapped(lambda left: Millis(now + left - max(0, away_ms)))

    def earliest(self) -> Millis | None:
        """Return the first deadline, or None when none runs."""
        return min((at for at in self._values() if at is not None), default=None)

    def _values(self) -> list[Millis | None]:
        return [getattr(self, name) for name in self.__struct_fields__]

    def _mapped(self, change: Callable[[Millis], Millis]) -> "Deadlines":
        values = (None if at is None else change(at) for at in self._values())
        return Deadlines(**dict(zip(self.__struct_fields__, values, strict=True)))


def after_move(
    deadlines: Deadlines, moved: Moved, policy: Policy, *, confirm_ms: Millis, now: Millis
) -> Deadlines:
    """Return the deadlines after a move; `confirm_ms` is for a binding that it makes."""
    before, after = moved.before, moved.after
    running = deadlines
    if before.shape is Shape.BIRTH:
        running = replace(deadlines, session_ends=Millis(now + policy.session_ttl))
    match after.shape:
        case Shape.BIRTH | Shape.TERMINATED:
            return Deadlines()
        case Shape.ATTACHED:
            return _attached(running, before, after, confirm_ms=confirm_ms, now=now)
        case Shape.VOLATILE:
            return replace(running, volatile_ends=Millis(now + policy.volatile_max))
        case Shape.DEGRADED_BOUND:
            ends = Millis(now + policy.degraded_max) if policy.degraded_max else None
            return replace(running, volatile_ends=None, degraded_ends=ends)
        case Shape.RECOVERING:
            return _recovering(running, before, policy, now=now)
        case Shape.DEGRADED_UNBOUND:
            return replace(running, recovery_ends=None)


def after_confirmation(deadlines: Deadlines) -> Deadlines:
    """Return the deadlines once the binding carried a packet: no loss is running any more."""
    return replace(deadlines, confirm_ends=None, transport_loss_ends=None, recovery_ends=None)


def next_due(session: Session, deadlines: Deadlines, *, now: Millis) -> Input | None:
    """Return the first input, in their order of precedence, that time alone makes true by `now`.

    Apply it, take the deadlines after it, and ask again until there is none.
    """
    for at, name in _running(session, deadlines):
        if at is not None and at <= now:
            return _due(name, session.epoch)
    return None


def wake_at(session: Session, deadlines: Deadlines) -> Millis | None:
    """Return when `next_due` has something to say at the earliest."""
    return min((at for at, _ in _running(session, deadlines) if at is not None), default=None)


def confirm_wait(*, srtt_us: int, timeouts: int) -> Millis:
    """Return how long a new binding may wait for its first packet after so many time-outs.

    `srtt_us` is what the request reported, 0 where the client knows none.
    """
    first = max(3 * srtt_us // 1000, CONFIRM_FLOOR) if srtt_us > 0 else CONFIRM_UNKNOWN
    return Millis(first << min(timeouts, CONFIRM_DOUBLINGS_MAX))


def _attached(
    running: Deadlines, before: Session, after: Session, *, confirm_ms: Millis, now: Millis
) -> Deadlines:
    binding = after.binding
    if binding is None or binding == before.binding:
        return replace(running, volatile_ends=None, degraded_ends=None)
    if binding.confirmed:
        return after_confirmation(replace(running, volatile_ends=None, degraded_ends=None))
    waits_until = Millis(now + confirm_ms)
    return replace(running, volatile_ends=None, degraded_ends=None, confirm_ends=waits_until)


def _recovering(running: Deadlines, before: Session, policy: Policy, *, now: Millis) -> Deadlines:
    """Start the window and the TTL of a loss, unless they are running already."""
    calm = replace(running, volatile_ends=None, degraded_ends=None, confirm_ends=None)
    if before.binding is None:
        return calm
    if before.binding.confirmed:
        running = after_confirmation(running)
    recovery, loss = running.recovery_ends, running.transport_loss_ends
    return replace(
        calm,
        recovery_ends=Millis(now + policy.recovery_window) if recovery is None else recovery,
        transport_loss_ends=Millis(now + policy.transport_loss_ttl) if loss is None else loss,
    )


def _running(session: Session, deadlines: Deadlines) -> list[tuple[Millis | None, str]]:
    """Return what runs in the session's shape, by name, in the order of precedence."""
    running = [(getattr(deadlines, name), name) for name in RUNNING[session.shape]]
    if session.binding is not None and not session.binding.confirmed:
        running.insert(CONFIRM_PLACE, (deadlines.confirm_ends, "confirm_ends"))
    return running


def _due(name: str, epoch: BindingEpoch) -> Input:
    match name:
        case "session_ends":
            return SessionTtlExpired()
        case "transport_loss_ends":
            return TransportLossTtlExpired()
        case "confirm_ends":
            return BindingLost(epoch=epoch, reason=Reason.CONFIRM_TIMEOUT)
        case "recovery_ends":
            return RecoveryWindowClosed()
        case "volatile_ends":
            return VolatilityExpired(epoch=epoch)
        case _:
            return DegradationExpired(epoch=epoch)


RUNNING: Final[dict[Shape, tuple[str, ...]]] = {
    Shape.BIRTH: (),
    Shape.ATTACHED: ("session_ends",),
    Shape.VOLATILE: ("session_ends", "volatile_ends"),
    Shape.RECOVERING: ("session_ends", "transport_loss_ends", "recovery_ends"),
    Shape.DEGRADED_BOUND: ("session_ends", "degraded_ends"),
    Shape.DEGRADED_UNBOUND: ("session_ends", "transport_loss_ends"),
    Shape.TERMINATED: (),
}
"""The deadlines that mean something in a shape, in the order of precedence."""
CONFIRM_PLACE: Final = 1
"""Where among them `confirm_ends` stands while a binding waits for its first packet."""
