"""The machine and its table: every row is used, every pair without a row changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jumping_vpn.core.ids import VERSION_MAX, BindingEpoch, Millis, NodeId, OwnershipEpoch
from jumping_vpn.core.session.inputs import (
    INPUTS,
    BindingLost,
    HandshakeVerified,
    Input,
    OwnershipMoved,
    QualityBreached,
    ReattachVerified,
    TerminateVerified,
    in_precedence,
)
from jumping_vpn.core.session.invariants import (
    INVARIANTS,
    InvariantBroken,
    broken_by_move,
    check_move,
    ensure,
)
from jumping_vpn.core.session.machine import Moved, Refused, advance
from jumping_vpn.core.session.model import Session, Shape, State, confirmed
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.session.table import CELLS, TABLE, TABLE_DIGEST, Row, digest, index
from support.sessions import any_input_of, attached, binding, born, inputs_for, session_of

NOW = Millis(1000)


def test_a_walk_over_all_inputs_uses_every_row_and_reaches_ten_shapes():
    seen, used = walk()

    assert used == set(TABLE)
    # BIRTH, RECOVERING, DEGRADED unbound and TERMINATED; ATTACHED, VOLATILE and DEGRADED bound,
    # each with a confirmed and an unconfirmed binding. Another number is another protocol.
    assert len(seen) == 10
    assert {shape for shape, _ in seen} == set(Shape)


def test_two_rows_for_one_cell_are_an_error():
    row = CELLS[Shape.ATTACHED, BindingLost]

    with pytest.raises(ValueError, match="two rows for ATTACHED and BindingLost"):
        index((*TABLE, replace(row, before=(Shape.ATTACHED,))))


def test_the_digest_changes_with_every_part_of_a_row():
    changed = (
        {"before": (Shape.BIRTH, Shape.ATTACHED)},
        {"on": TerminateVerified},
        {"after": State.VOLATILE},
        {"reasons": (Reason.REKEY,)},
    )

    digests = {digest((replace(TABLE[0], **part), *TABLE[1:])) for part in changed}

    assert digest(TABLE) == TABLE_DIGEST
    assert len(digests | {TABLE_DIGEST}) == len(changed) + 1


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.before[0]} {row.on.__name__}")
def test_a_row_takes_each_of_its_reasons(row: Row):
    for shape in row.before:
        session = session_of(shape)
        for reason in row.reasons:
            outcome = advance(session, any_input_of(row.on, session, reason), now=NOW)

            assert isinstance(outcome, Moved)
            assert outcome.reason is reason
            assert outcome.after.state is row.after


@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("on", INPUTS, ids=lambda on: on.__name__)
def test_a_pair_without_a_row_is_refused_and_changes_nothing(shape: Shape, on: type[Input]):
    session = session_of(shape)
    if (shape, on) in CELLS:
        return

    outcome = advance(session, any_input_of(on, session), now=NOW)

    assert isinstance(outcome, Refused)
    assert outcome.session is session
    assert outcome.reason in {Reason.NO_SUCH_MOVE, Reason.STALE_SIGNAL}


@given(st.data())
def test_versions_are_gapless_and_refusals_return_the_same_object(data: st.DataObject):
    session = born()
    for step in range(data.draw(st.integers(0, 25))):
        given_input = data.draw(inputs_for(session))

        outcome = advance(session, given_input, now=Millis(step))

        if isinstance(outcome, Refused):
            assert outcome.session is session
            continue
        assert outcome.before is session
        assert outcome.after.version == session.version + 1
        assert not broken_by_move(session, outcome.after)
        session = outcome.after


@given(st.data())
def test_the_same_inputs_make_the_same_session(data: st.DataObject):
    inputs = data.draw(st.lists(st.sampled_from(INPUTS), max_size=10))

    assert told(inputs) == told(inputs)


def test_an_observation_of_a_binding_that_was_left_is_stale():
    session = attached(epoch=2)

    outcome = advance(session, BindingLost(epoch=BindingEpoch(1), reason=Reason.LINK_DOWN), now=NOW)

    assert outcome == Refused(
        session=session,
        input=BindingLost(epoch=BindingEpoch(1), reason=Reason.LINK_DOWN),
        reason=Reason.STALE_SIGNAL,
    )


def test_a_reason_that_the_row_does_not_list_breaks_the_program():
    wrong = QualityBreached(epoch=BindingEpoch(1), reason=Reason.REKEY)

    with pytest.raises(InvariantBroken, match="REKEY is no reason"):
        advance(attached(), wrong, now=NOW)


def test_a_binding_epoch_that_was_used_before_breaks_the_program():
    reused = ReattachVerified(binding=binding(epoch=1), reason=Reason.REKEY)

    with pytest.raises(InvariantBroken, match="used before"):
        advance(attached(epoch=1), reused, now=NOW)


def test_an_owner_under_the_same_ownership_epoch_breaks_the_program():
    same = OwnershipMoved(
        owner=NodeId(2), ownership_epoch=OwnershipEpoch(1), reason=Reason.OWNERSHIP_TRANSFERRED
    )

    with pytest.raises(InvariantBroken, match="one_owner"):
        advance(attached(), same, now=NOW)


def test_the_last_version_is_a_termination_whatever_the_input():
    session = replace(attached(), version=VERSION_MAX - 1)
    jump = ReattachVerified(binding=binding(epoch=2), reason=Reason.PLANNED_SWITCH)

    outcome = advance(session, jump, now=NOW)

    assert isinstance(outcome, Moved)
    assert outcome.after.version == VERSION_MAX
    assert outcome.after.state is State.TERMINATED
    assert outcome.reason is Reason.VERSION_EXHAUSTED


def test_confirmation_is_a_fact_about_the_binding_and_no_move():
    session = attached(is_confirmed=False)

    after = confirmed(session)

    assert after.version == session.version
    assert after.binding is not None
    assert after.binding.confirmed
    assert confirmed(after) is after


def test_the_time_of_a_state_begins_with_a_change_of_state_only():
    session = attached()
    jump = ReattachVerified(binding=binding(epoch=2), reason=Reason.PLANNED_SWITCH)
    lost = BindingLost(epoch=BindingEpoch(1), reason=Reason.LINK_DOWN)

    jumped, died = advance(session, jump, now=NOW), advance(session, lost, now=NOW)

    assert isinstance(jumped, Moved)
    assert isinstance(died, Moved)
    assert jumped.after.since == session.since
    assert died.after.since == NOW


@pytest.mark.parametrize("invariant", INVARIANTS, ids=lambda each: each.name)
def test_every_invariant_catches_a_move_that_breaks_it(invariant):
    before, after = BROKEN_MOVES[invariant.name]

    assert invariant in broken_by_move(before, after)
    with pytest.raises(InvariantBroken, match=invariant.name):
        check_move(before, after)


def test_ensure_raises_only_when_the_condition_does_not_hold():
    ensure(True, "never seen")

    with pytest.raises(InvariantBroken, match="seen"):
        ensure(False, "seen")


def test_inputs_of_one_instant_are_applied_in_the_order_of_the_contract():
    session = attached()
    in_order = [any_input_of(on, session) for on in INPUTS]

    assert in_precedence(reversed(in_order)) == in_order


def walk() -> tuple[set[tuple[Shape, bool | None]], set[Row]]:
    """Return every reachable shape, with its binding's confirmation, and the rows used."""
    seen: set[tuple[Shape, bool | None]] = set()
    used: set[Row] = set()
    frontier = [born()]
    while frontier:
        session = frontier.pop(0)
        is_confirmed = None if session.binding is None else session.binding.confirmed
        if (session.shape, is_confirmed) in seen:
            continue
        seen.add((session.shape, is_confirmed))
        for on in INPUTS:
            for sure in (True, False):
                outcome = advance(session, any_input_of(on, session, sure=sure), now=NOW)
                if isinstance(outcome, Moved):
                    used.add(CELLS[session.shape, on])
                    frontier.append(outcome.after)
        frontier.append(confirmed(session))
    return seen, used


def told(inputs: list[type[Input]]) -> list[object]:
    session: Session = born()
    outcomes: list[object] = []
    for on in [HandshakeVerified, *inputs]:
        outcome = advance(session, any_input_of(on, session), now=NOW)
        outcomes.append(outcome)
        session = outcome.after if isinstance(outcome, Moved) else outcome.session
    return outcomes


ONE = attached(epoch=3)
TWO = replace(ONE, version=ONE.version + 1)
BROKEN_MOVES = {
    "single_active_binding": (ONE, replace(TWO, binding=None)),
    "monotonic_version": (ONE, replace(ONE, version=ONE.version + 2)),
    "bounded_version": (
        replace(ONE, version=VERSION_MAX - 1),
        replace(ONE, version=VERSION_MAX),
    ),
    "first_version": (replace(ONE, version=0), replace(ONE, version=1)),
    "no_identity_reset": (ONE, replace(TWO, session_id=bytes(16))),
    "no_implicit_recovery": (
        replace(ONE, state=State.RECOVERING, binding=None),
        replace(TWO, state=State.VOLATILE, binding=binding(epoch=4), epoch=4),
    ),
    "no_epoch_reuse": (ONE, replace(TWO, epoch=2, binding=binding(epoch=2))),
    "one_owner": (ONE, replace(TWO, owner=NodeId(9))),
    "absorbing_end": (
        replace(ONE, state=State.TERMINATED, binding=None),
        replace(TWO, state=State.TERMINATED, binding=None),
    ),
}
