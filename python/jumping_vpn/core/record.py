"""The record: everything about a session that outlives the process, written as one piece.

Times in a record are readings of the writer's monotonic clock. `written` says what both clocks
showed at the write, so that another process can continue every deadline: see `resumed`.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from jumping_vpn.core.ids import (
    SESSION_ID_SIZE,
    Attempt,
    BindingEpoch,
    Millis,
    SessionId,
    SessionNumber,
)
from jumping_vpn.core.policy.deadlines import Deadlines
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.policy.switches import within_minute
from jumping_vpn.core.session.invariants import ensure, is_bound_as_state_says
from jumping_vpn.core.session.model import Session, Shape


class Reading(Struct, frozen=True, kw_only=True):
    """What the two clocks showed at one instant: monotonic and wall, in milliseconds.

    `incarnation` is the process's, which the store numbers at each start: readings of the monotonic
    clock compare only within one.
    """

    now: Millis
    wall_ms: int
    incarnation: int


class Root(Struct, frozen=True, kw_only=True):
    """The sealed root of the binding `epoch`, which the reattach `attempt` made (0: a handshake).

    `digest` is the digest of that accepted request, so that its copies can be told from others.
    """

    epoch: BindingEpoch
    sealed: bytes
    attempt: Attempt
    digest: bytes = b""


class Record(Struct, frozen=True, kw_only=True):
    """One session as the store keeps it.

    `confirmed` is the root that a client certainly holds; `unconfirmed` that of an accepted jump
    whose binding has not carried a packet. `attempt_floor` is the highest authentic attempt ever
    seen, `control_floor` the highest control sequence processed, `jumps` the times of the accepted
    jumps that still count against the budget, newest last.
    """

    session: Session
    policy: Policy
    policy_version: int
    number: SessionNumber
    client_name: str
    client_public: bytes
    addresses: tuple[str, ...]
    confirmed: Root
    unconfirmed: Root | None
    attempt_floor: Attempt
    control_floor: int
    jumps: tuple[Millis, ...]
    deadlines: Deadlines
    created_wall_ms: int
    predecessor: SessionId | None
    written: Reading


def resumed(record: Record, reading: Reading) -> Record:
    """Return a record with its times on the clock of the process that takes `reading`.

    What this process wrote itself is returned as it is. Across a restart time away counts. Both
    clocks can only show too little of it (the wall clock may have been set back, the monotonic one
    starts again with the machine), so the larger figure counts: no deadline ever moves later.
    """
    written = record.written
    if written.incarnation == reading.incarnation:
        return record
    now = reading.now
    away_ms = max(0, reading.wall_ms - written.wall_ms, now - written.now)
    session = record.session
    shift = now - written.now - away_ms
    binding = session.binding
    if binding is not None:
        binding = replace(binding, since=Millis(binding.since + shift))
    remaining = record.deadlines.remaining(now=written.now)
    return replace(
        record,
        session=replace(session, since=Millis(session.since + shift), binding=binding),
        jumps=tuple(Millis(at + shift) for at in record.jumps),
        deadlines=remaining.resume(now=now, away_ms=away_ms),
        written=reading,
    )


def ends_wall_ms(record: Record) -> int | None:
    """Return the wall time at which the session ends at the latest, for the store's index."""
    ends = record.deadlines.session_ends
    return None if ends is None else record.written.wall_ms + ends - record.written.now


class RecordInvariant(Struct, frozen=True, kw_only=True):
    """One check of a record by itself: `number` is the contract's."""

    number: int
    name: str
    text: str
    holds: Callable[[Record], bool]


def _roots_fit_binding(record: Record) -> bool:
    confirmed, unconfirmed, binding = record.confirmed, record.unconfirmed, record.session.binding
    if unconfirmed is not None and unconfirmed.epoch <= confirmed.epoch:
        return False
    newest = confirmed if unconfirmed is None else unconfirmed
    if newest.epoch > record.session.epoch:
        return False
    if binding is None:
        return True
    return newest.epoch == binding.epoch and binding.confirmed is (unconfirmed is None)


def _attempts_below_floor(record: Record) -> bool:
    roots = (record.confirmed, record.unconfirmed)
    return all(each is None or each.attempt <= record.attempt_floor for each in roots)


def _jumps_within_budget(record: Record) -> bool:
    """Check the minute that ends with a jump of this very write.

    Those before it were accepted under the policy of their time, which may have allowed more.
    """
    jumps = record.jumps
    if list(jumps) != sorted(jumps):
        return False
    if not jumps or jumps[-1] != record.written.now:
        return True
    counted = within_minute(jumps, now=record.written.now)
    return len(counted) <= record.policy.max_switches_per_minute


def _everything_ends(record: Record) -> bool:
    ends, shape = record.deadlines, record.session.shape
    if shape in {Shape.BIRTH, Shape.TERMINATED}:
        return True
    lost = shape in {Shape.RECOVERING, Shape.DEGRADED_UNBOUND}
    needed = (
        (True, ends.session_ends),
        (lost, ends.transport_loss_ends),
        (shape is Shape.RECOVERING, ends.recovery_ends),
        (shape is Shape.VOLATILE, ends.volatile_ends),
    )
    return all(at is not None for is_needed, at in needed if is_needed)


def _secrets_end_with_session(record: Record) -> bool:
    if record.session.shape is not Shape.TERMINATED:
        return True
    return not record.confirmed.sealed and record.unconfirmed is None


RECORD_INVARIANTS: Final = (
    RecordInvariant(
        number=1,
        name="binding_fits_state",
        text="The record has a binding exactly where its state says so.",
        holds=lambda record: is_bound_as_state_says(record.session),
    ),
    RecordInvariant(
        number=4,
        name="whole_identity",
        text="The session id has all of its 16 bytes.",
        holds=lambda record: len(record.session.session_id) == SESSION_ID_SIZE,
    ),
    RecordInvariant(
        number=6,
        name="bounded_switches",
        text="A jump is never one more in its 60 s than max_switches_per_minute.",
        holds=_jumps_within_budget,
    ),
    RecordInvariant(
        number=6,
        name="everything_ends",
        text="Every bound in time that the state calls for is running.",
        holds=_everything_ends,
    ),
    RecordInvariant(
        number=7,
        name="attempts_below_floor",
        text="The attempt floor is at least every accepted attempt.",
        holds=_attempts_below_floor,
    ),
    RecordInvariant(
        number=7,
        name="roots_fit_binding",
        text="The newest root is the binding's; it is unconfirmed exactly while the binding is.",
        holds=_roots_fit_binding,
    ),
    RecordInvariant(
        number=9,
        name="secrets_erased",
        text="A TERMINATED record holds no root.",
        holds=_secrets_end_with_session,
    ),
)


def broken_by_record(record: Record) -> tuple[RecordInvariant, ...]:
    """Return the invariants that a record breaks by itself."""
    return tuple(each for each in RECORD_INVARIANTS if not each.holds(record))


def check_record(record: Record) -> None:
    """Raise InvariantBroken if a record breaks an invariant; asked before every save."""
    broken = broken_by_record(record)
    ensure(not broken, "{} by version {}", [each.name for each in broken], record.session.version)
