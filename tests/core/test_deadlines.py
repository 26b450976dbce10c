"""Deadlines: everything ends, and a restart never moves an end later."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.deadlines import (
    Deadlines,
    after_confirmation,
    after_move,
    confirm_wait,
    next_due,
    wake_at,
)
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.record import Reading, broken_by_record, ends_wall_ms, resumed
from jumping_vpn.core.session.inputs import (
    BindingLost,
    HandshakeVerified,
    OwnershipMoved,
    ReattachVerified,
    RecoveryWindowClosed,
    SessionTtlExpired,
    TransportLossTtlExpired,
)
from jumping_vpn.core.session.machine import Moved, advance
from jumping_vpn.core.session.model import Session, Shape, confirmed
from jumping_vpn.core.session.reasons import Reason
from support.records import record_of
from support.sessions import any_input_of, attached, binding, born, inputs_for, session_of

POLICY = Policy.from_mapping({"degraded_max": 60_000})
WAIT = Millis(2000)


@given(st.data())
def test_whatever_happens_a_session_ends_if_only_time_goes_by(data: st.DataObject):
    session, ends, now = born_at_zero()
    for _ in range(data.draw(st.integers(0, 8))):
        now = Millis(now + data.draw(st.integers(0, 5000)))
        session, ends = moved(session, ends, data.draw(inputs_for(session)), now)

    while (due_at := wake_at(session, ends)) is not None:
        now = max(now, due_at)
        due = next_due(session, ends, now=now)
        assert due is not None
        after, ends = moved(session, ends, due, now)
        assert after.version == session.version + 1
        session = after

    assert session.shape is Shape.TERMINATED
    assert now <= POLICY.session_ttl


@given(st.integers(0, 10**9), st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_no_deadline_ever_moves_later_across_a_restart(now, wall_step, monotonic_step):
    record = record_of(Shape.VOLATILE, now=now)

    again = resumed(
        record,
        restarted(now=now + monotonic_step, wall_ms=record.written.wall_ms + wall_step),
    )

    left = record.deadlines.remaining(now=Millis(now))
    left_after = again.deadlines.remaining(now=again.written.now)
    assert left_after.session_ends <= left.session_ends
    assert left_after.volatile_ends <= left.volatile_ends
    away = max(0, wall_step, monotonic_step)
    assert again.deadlines.session_ends == again.written.now + left.session_ends - away


def test_time_away_ages_jumps_states_and_bindings_alike():
    record = replace(record_of(Shape.ATTACHED, now=50_000), jumps=(Millis(20_000), Millis(40_000)))

    reading = restarted(now=1000, wall_ms=record.written.wall_ms + 15_000)

    again = resumed(record, reading)

    assert again.jumps == (-44_000, -24_000)
    assert again.session.since == record.session.since - 64_000
    assert again.session.binding.since == record.session.binding.since - 64_000
    assert again.written == reading


def test_what_this_process_wrote_needs_no_translation_even_if_the_wall_clock_steps():
    record = record_of(Shape.VOLATILE, now=5000)
    reading = Reading(now=Millis(6000), wall_ms=record.written.wall_ms + 10**9, incarnation=1)

    assert resumed(record, reading) is record


def test_the_end_in_wall_time_is_that_of_the_session_ttl():
    record = record_of(Shape.ATTACHED, now=5000)

    assert ends_wall_ms(record) == record.written.wall_ms + record.deadlines.session_ends - 5000
    assert ends_wall_ms(replace(record, deadlines=Deadlines())) is None


def test_what_is_due_at_once_comes_in_the_order_of_the_contract():
    ends = Deadlines(
        session_ends=Millis(10), transport_loss_ends=Millis(10), recovery_ends=Millis(10)
    )
    session = session_of(Shape.RECOVERING)

    assert next_due(session, ends, now=Millis(9)) is None
    assert next_due(session, ends, now=Millis(10)) == SessionTtlExpired()
    no_session_end = replace(ends, session_ends=None)
    assert next_due(session, no_session_end, now=Millis(10)) == TransportLossTtlExpired()
    only_window = replace(no_session_end, transport_loss_ends=None)
    assert next_due(session, only_window, now=Millis(10)) == RecoveryWindowClosed()


def test_an_unconfirmed_binding_does_not_end_the_loss_and_a_confirmed_one_does():
    session, ends, _ = born_at_zero()
    lost = BindingLost(epoch=session.epoch, reason=Reason.LINK_DOWN)
    session, ends = moved(session, ends, lost, Millis(1000))
    jump = ReattachVerified(
        binding=binding(epoch=2, is_confirmed=False), reason=Reason.REATTACH_SUCCESS
    )

    session, bound = moved(session, ends, jump, Millis(2000))
    lost = BindingLost(epoch=session.epoch, reason=Reason.CONFIRM_TIMEOUT)
    _, again = moved(session, bound, lost, Millis(4000))
    _, fresh = moved(confirmed(session), after_confirmation(bound), lost, Millis(4000))

    assert bound.confirm_ends == 4000
    assert again.transport_loss_ends == ends.transport_loss_ends
    assert again.recovery_ends == ends.recovery_ends
    assert fresh.transport_loss_ends == 4000 + POLICY.transport_loss_ttl


def test_an_owner_that_moves_while_unbound_starts_no_window_again():
    session, ends, _ = born_at_zero()
    lost = BindingLost(epoch=session.epoch, reason=Reason.LINK_DOWN)
    session, ends = moved(session, ends, lost, Millis(1000))

    _, after = moved(session, ends, any_input_of(OwnershipMoved, session), Millis(5000))

    assert after == ends


@pytest.mark.parametrize(
    ("srtt_us", "timeouts", "expected"),
    [
        (0, 0, 2000),
        (0, 1, 4000),
        (100_000, 0, 500),
        (400_000, 0, 1200),
        (400_000, 3, 9600),
        (0, 99, 128_000),
    ],
)
def test_the_wait_for_a_confirmation_doubles_and_is_bounded(srtt_us, timeouts, expected):
    assert confirm_wait(srtt_us=srtt_us, timeouts=timeouts) == expected


@given(st.data())
def test_the_deadlines_after_any_moves_are_those_that_a_record_needs(data: st.DataObject):
    session, ends, _ = born_at_zero()
    for step in range(data.draw(st.integers(0, 10))):
        session, ends = moved(session, ends, data.draw(inputs_for(session)), Millis(step))

    record = replace(record_of(Shape.ATTACHED, now=0), session=session, deadlines=ends)

    assert "everything_ends" not in [each.name for each in broken_by_record(record)]


def restarted(*, now: int, wall_ms: int) -> Reading:
    return Reading(now=Millis(now), wall_ms=wall_ms, incarnation=2)


def born_at_zero() -> tuple[Session, Deadlines, Millis]:
    session, ends = moved(
        born(), Deadlines(), HandshakeVerified(binding=attached().binding), Millis(0)
    )
    return session, ends, Millis(0)


def moved(session, ends, given_input, now) -> tuple[Session, Deadlines]:
    outcome = advance(session, given_input, now=now)
    if not isinstance(outcome, Moved):
        return session, ends
    return outcome.after, after_move(ends, outcome, POLICY, confirm_ms=WAIT, now=now)
