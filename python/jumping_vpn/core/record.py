"""The record: everything about a session that outlives the process, written as one piece.

Times in a record are readings of the writer's monotonic clock. `written` says what both clocks
showed at the write, so that another process can continue every deadline: see `resumed`.
"""

from dataclasses import dataclass, replace

from jumping_vpn.core.ids import Attempt, BindingEpoch, Millis, SessionId, SessionNumber
from jumping_vpn.core.policy.deadlines import Deadlines
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.model import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the two clocks showed at one instant: monotonic and wall, in milliseconds."""

    now: Millis
    wall_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The sealed root of the binding `epoch`, which the reattach `attempt` made (0: a handshake).

    `digest` is the digest of that accepted request, so that its copies can be told from others.
    """

    epoch: BindingEpoch
    sealed: bytes
    attempt: Attempt
    digest: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
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


def resumed(record: Record, *, now: Millis, wall_ms: int) -> Record:
    """Return a record that another process wrote with its times on this process's clock.

    Time away counts. Both clocks can only show too little of it (the wall clock may have been set
    back, the monotonic one starts again with the machine), so the larger figure counts: no deadline
    ever moves later, and no jump leaves the window of the budget earlier than it should.
    """
    written = record.written
    away_ms = max(0, wall_ms - written.wall_ms, now - written.now)
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
        written=Reading(now=now, wall_ms=wall_ms),
    )


def ends_wall_ms(record: Record) -> int | None:
    """Return the wall time at which the session ends at the latest, for the store's index."""
    ends = record.deadlines.session_ends
    return None if ends is None else record.written.wall_ms + ends - record.written.now
