"""The ladder: each rung passes, each rung fails, and what follows is what the contract says."""

import pytest
from msgspec.structs import replace

from jumping_vpn.core.ids import (
    Attempt,
    BindingEpoch,
    Millis,
    NodeId,
    OwnershipEpoch,
    SessionId,
    SessionNumber,
    StateVersion,
)
from jumping_vpn.core.ownership import Hold, Term, hold_of
from jumping_vpn.core.policy.deadlines import Deadlines
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.reattach import (
    LADDER,
    Admitted,
    Answer,
    Claim,
    Commit,
    Denied,
    Presence,
    admit,
    unsaved,
)
from jumping_vpn.core.record import Reading, Record, Root
from jumping_vpn.core.session.inputs import HandshakeVerified, ReattachVerified
from jumping_vpn.core.session.machine import advance
from jumping_vpn.core.session.model import Binding, Transport, begin
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire.messages import Trigger

NOW = Millis(100_000)
WALL = 1_800_000_000_000
WIFI = Transport(id=1, adapter="udp", interface="wlan0", endpoint="192.0.2.1:4789")
CELL = Transport(id=2, adapter="udp", interface="wwan0", endpoint="192.0.2.1:4789")


def test_a_claim_that_holds_on_every_rung_is_admitted():
    assert admit(claim()) == Admitted(epoch=BindingEpoch(2), supersedes=False)


def test_the_ladder_has_thirteen_rungs_in_order():
    numbers = [rung.number for rung in LADDER]

    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, 14))


@pytest.mark.parametrize(
    ("number", "reason", "answer", "changes"),
    [
        (1, Reason.RATE_LIMITED, Answer.SILENCE, {"prefix_in_rate": False}),
        (2, Reason.LOOKUP_INVALID, Answer.SILENCE, {"lookup_valid": False}),
        (3, Reason.SESSION_GONE, Answer.GONE_TOKEN, {"presence": Presence.GONE}),
        (3, Reason.STORE_UNAVAILABLE, Answer.SILENCE, {"presence": Presence.UNREADABLE}),
        (4, Reason.PROOF_INVALID, Answer.SILENCE, {"proof_valid": False}),
        (5, Reason.REPLAY_DETECTED, Answer.REPEAT, {"attempt": 4, "digest": b"accepted"}),
        (5, Reason.RACE_LOST, Answer.REJECT, {"attempt": 4}),
        (5, Reason.REPLAY_DETECTED, Answer.REJECT, {"attempt": 6}),
        (6, Reason.RATE_LIMITED, Answer.REJECT, {"rate_wait": 150}),
        (7, Reason.FRESHNESS_INVALID, Answer.REJECT, {"ts_ms": WALL - 5_001}),
        (7, Reason.FRESHNESS_INVALID, Answer.REJECT, {"ts_ms": WALL + 5_001}),
        (9, Reason.NOT_OWNER, Answer.REJECT, {"hold": Hold.ANOTHERS}),
        (9, Reason.STORE_UNAVAILABLE, Answer.REJECT, {"hold": Hold.UNKNOWN}),
        (10, Reason.VERSION_AHEAD, Answer.REJECT, {"version": 2}),
        (11, Reason.TRANSPORT_NOT_ALLOWED, Answer.REJECT, {"transport": replace(CELL, hops=4)}),
        (
            11,
            Reason.TRANSPORT_NOT_ALLOWED,
            Answer.REJECT,
            {"transport": replace(CELL, adapter="x")},
        ),
        (13, Reason.OWNERSHIP_CONFLICT, Answer.REJECT, {"commit": Commit.LOST}),
        (13, Reason.STORE_UNAVAILABLE, Answer.REJECT, {"commit": Commit.IMPOSSIBLE}),
    ],
)
def test_a_rung_that_does_not_hold_decides(number, reason, answer, changes):
    verdict = admit(replace(claim(), **changes))

    assert isinstance(verdict, Denied)
    assert (verdict.rung.number, verdict.reason, verdict.rung.answer) == (number, reason, answer)
    assert verdict.is_authentic == (number > 4)
    assert verdict.is_fresh == (number > 7)


@pytest.mark.parametrize(
    "changes",
    [
        {"attempt": 7},
        {"attempt": 8},
        {"ts_ms": WALL - 5_000},
        {"ts_ms": WALL + 5_000},
        {"version": 1},
        {"version": 0},
        {"transport": replace(CELL, hops=3)},
    ],
)
def test_what_lies_on_the_bound_passes(changes):
    assert isinstance(admit(replace(claim(), **changes)), Admitted)


@pytest.mark.parametrize(
    ("deadlines", "reason"),
    [
        (Deadlines(session_ends=NOW), Reason.TTL_SESSION_EXPIRED),
        (Deadlines(transport_loss_ends=NOW), Reason.TTL_TRANSPORT_LOSS_EXPIRED),
    ],
)
def test_a_session_past_its_ttl_is_refused_on_rung_eight(deadlines, reason):
    verdict = admit(claim(deadlines=deadlines))

    assert isinstance(verdict, Denied)
    assert (verdict.rung.number, verdict.reason) == (8, reason)
    assert isinstance(admit(claim(deadlines=_later(deadlines))), Admitted)


def test_a_used_up_budget_refuses_even_a_death_and_says_when_it_frees():
    jumps = tuple(Millis(NOW - 59_000 + n) for n in range(12))

    verdict = admit(claim(jumps=jumps))

    assert isinstance(verdict, Denied)
    assert (verdict.rung.number, verdict.reason) == (12, Reason.SWITCH_RATE_LIMITED)
    assert verdict.retry_after == 1_000
    assert isinstance(admit(claim(jumps=jumps[1:])), Admitted)


def test_a_discretionary_jump_may_use_half_of_the_budget():
    jumps = tuple(Millis(NOW - 50_000 + n) for n in range(6))

    verdict = admit(claim(jumps=jumps, trigger=Trigger.QUALITY))

    assert isinstance(verdict, Denied)
    assert verdict.reason is Reason.SWITCH_RATE_LIMITED
    assert isinstance(admit(claim(jumps=jumps)), Admitted)


def test_the_cooldown_holds_back_a_planned_jump_and_never_a_death():
    jumps = (Millis(NOW - 1_000),)

    verdict = admit(claim(jumps=jumps, trigger=Trigger.PLANNED))

    assert isinstance(verdict, Denied)
    assert (verdict.rung.number, verdict.reason) == (12, Reason.COOLDOWN_ACTIVE)
    assert verdict.retry_after == 500
    assert isinstance(admit(claim(jumps=jumps)), Admitted)


def test_superseding_an_unconfirmed_binding_is_still_the_same_jump():
    full = tuple(Millis(NOW - 1_000 + n) for n in range(12))
    unconfirmed = Root(epoch=BindingEpoch(2), sealed=b"2", attempt=Attempt(5), digest=b"x")

    verdict = admit(claim(jumps=full, unconfirmed=unconfirmed))

    assert verdict == Admitted(epoch=BindingEpoch(3), supersedes=True)


def test_a_request_under_the_unconfirmed_root_is_a_jump_of_its_own():
    unconfirmed = Root(epoch=BindingEpoch(2), sealed=b"2", attempt=Attempt(5), digest=b"x")

    verdict = admit(replace(claim(unconfirmed=unconfirmed), proven_by=BindingEpoch(2)))

    assert isinstance(verdict, Admitted)
    assert not verdict.supersedes


def test_the_accepted_attempt_is_that_of_the_unconfirmed_binding():
    unconfirmed = Root(epoch=BindingEpoch(2), sealed=b"2", attempt=Attempt(7), digest=b"x")

    race = admit(replace(claim(unconfirmed=unconfirmed), attempt=Attempt(7)))
    copy = admit(replace(claim(unconfirmed=unconfirmed), attempt=Attempt(7), digest=b"x"))

    assert isinstance(race, Denied)
    assert race.reason is Reason.RACE_LOST
    assert isinstance(copy, Denied)
    assert copy.rung.answer is Answer.REPEAT


def test_only_what_is_suspicious_is_a_security_event():
    suspicious = {(rung.number, rung.refusal) for rung in LADDER if rung.security}

    assert suspicious == {
        (4, Reason.PROOF_INVALID),
        (5, Reason.REPLAY_DETECTED),
        (10, Reason.VERSION_AHEAD),
    }


def test_a_write_that_failed_is_the_last_rung():
    assert unsaved(Commit.LOST).reason is Reason.OWNERSHIP_CONFLICT
    assert unsaved(Commit.IMPOSSIBLE).reason is Reason.STORE_UNAVAILABLE
    assert {unsaved(each).rung.number for each in (Commit.LOST, Commit.IMPOSSIBLE)} == {13}


def test_a_session_is_ours_anothers_or_unknown():
    session = claim().record.session

    assert hold_of(session, node=NodeId(1), store_reachable=False) is Hold.OURS
    assert hold_of(session, node=NodeId(2), store_reachable=True) is Hold.ANOTHERS
    assert hold_of(session, node=NodeId(2), store_reachable=False) is Hold.UNKNOWN


def test_a_term_is_counted_from_when_it_was_asked_for_less_the_drift():
    term = Term(length=Millis(2_000), drift_ppm=500)

    assert term.until(asked=Millis(10_000)) == 11_999


def claim(
    *,
    deadlines: Deadlines = Deadlines(),  # noqa: B008
    jumps: tuple[Millis, ...] = (),
    trigger: Trigger = Trigger.DEATH,
    unconfirmed: Root | None = None,
) -> Claim:
    return Claim(
        record=record(deadlines=deadlines, jumps=jumps, unconfirmed=unconfirmed),
        attempt=Attempt(9),
        digest=b"asked",
        proven_by=BindingEpoch(1),
        trigger=trigger,
        transport=CELL,
        version=StateVersion(1),
        ts_ms=WALL,
        rate_wait=Millis(0),
        hold=Hold.OURS,
        now=NOW,
        wall_ms=WALL,
    )


def record(*, deadlines: Deadlines, jumps: tuple[Millis, ...], unconfirmed: Root | None) -> Record:
    born = begin(
        SessionId(bytes(16)), owner=NodeId(1), ownership_epoch=OwnershipEpoch(1), now=Millis(0)
    )
    binding = Binding(epoch=BindingEpoch(1), transport=WIFI, confirmed=True, since=Millis(0))
    session = advance(born, HandshakeVerified(binding=binding), now=Millis(0)).after
    if unconfirmed is not None:
        jumped = replace(binding, epoch=unconfirmed.epoch, transport=CELL, confirmed=False)
        verified = ReattachVerified(binding=jumped, reason=Reason.REATTACH_SUCCESS)
        session = advance(session, verified, now=Millis(0)).after
    return Record(
        session=session,
        policy=Policy(),
        policy_version=1,
        number=SessionNumber(1),
        client_name="laptop",
        client_public=b"p" * 32,
        addresses=(),
        confirmed=Root(epoch=BindingEpoch(1), sealed=b"1", attempt=Attempt(4), digest=b"accepted"),
        unconfirmed=unconfirmed,
        attempt_floor=Attempt(7),
        control_floor=0,
        jumps=jumps,
        deadlines=deadlines,
        created_wall_ms=WALL,
        predecessor=None,
        written=Reading(now=Millis(0), wall_ms=WALL, incarnation=1),
    )


def _later(deadlines: Deadlines) -> Deadlines:
    return Deadlines(
        **{
            name: None if getattr(deadlines, name) is None else Millis(NOW + 1)
            for name in ("session_ends", "transport_loss_ends")
        }
    )
