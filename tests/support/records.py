"""Records for tests: one of every shape, legal in itself."""

from jumping_vpn.core.ids import Attempt, BindingEpoch, Millis, SessionNumber
from jumping_vpn.core.policy.deadlines import Deadlines
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.record import Reading, Record, Root
from jumping_vpn.core.session.model import Shape
from support.sessions import session_of

WALL_MS = 1_750_000_000_000


def record_of(shape: Shape, *, now: int = 0) -> Record:
    """Return a record of a session of this shape, written at `now`."""
    return Record(
        session=session_of(shape),
        policy=Policy(),
        policy_version=1,
        number=SessionNumber(7),
        client_name="phone",
        client_public=bytes(32),
        addresses=("10.77.0.2", "fd77:4a56:504e::2"),
        confirmed=Root(
            epoch=BindingEpoch(min(1, session_of(shape).epoch)),
            sealed=b"" if shape is Shape.TERMINATED else b"root in a box",
            attempt=Attempt(0),
        ),
        unconfirmed=None,
        attempt_floor=Attempt(0),
        control_floor=0,
        jumps=(),
        deadlines=deadlines_of(shape, now=now),
        created_wall_ms=WALL_MS,
        predecessor=None,
        written=Reading(now=Millis(now), wall_ms=WALL_MS + now, incarnation=1),
    )


def deadlines_of(shape: Shape, *, now: int) -> Deadlines:
    """Return the deadlines that run in a shape."""
    if shape in {Shape.BIRTH, Shape.TERMINATED}:
        return Deadlines()
    unbound = shape in {Shape.RECOVERING, Shape.DEGRADED_UNBOUND}
    return Deadlines(
        session_ends=Millis(now + 86_400_000),
        transport_loss_ends=Millis(now + 900_000) if unbound else None,
        recovery_ends=Millis(now + 10_000) if shape is Shape.RECOVERING else None,
        volatile_ends=Millis(now + 4000) if shape is Shape.VOLATILE else None,
    )
