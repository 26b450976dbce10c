"""The record: legal by itself, whole through the store, erased at the end."""

import msgspec
import pytest
from msgspec.structs import replace

from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.record import (
    RECORD_INVARIANTS,
    Record,
    Root,
    broken_by_record,
    check_record,
)
from jumping_vpn.core.session.invariants import InvariantBroken
from jumping_vpn.core.session.model import Session, Shape
from support.records import record_of
from support.sessions import binding

WELL = record_of(Shape.ATTACHED)


@pytest.mark.parametrize("shape", Shape)
def test_a_record_of_every_shape_can_be_legal(shape: Shape):
    check_record(record_of(shape))


@pytest.mark.parametrize("shape", Shape)
def test_a_record_survives_its_encoding(shape: Shape):
    record = record_of(shape)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(record), type=Record) == record


def test_a_jump_that_is_not_confirmed_has_both_roots():
    unconfirmed = Root(epoch=2, sealed=b"newer", attempt=1, digest=b"digest")
    record = replace(
        WELL,
        session=replace(WELL.session, epoch=2, binding=binding(epoch=2, is_confirmed=False)),
        unconfirmed=unconfirmed,
        attempt_floor=1,
    )

    check_record(record)
    assert names_of(replace(record, unconfirmed=None)) == ["roots_fit_binding"]
    assert names_of(replace(record, attempt_floor=0)) == ["attempts_below_floor"]


@pytest.mark.parametrize("invariant", RECORD_INVARIANTS, ids=lambda each: each.name)
def test_every_invariant_catches_a_record_that_breaks_it(invariant):
    broken = BROKEN[invariant.name]

    assert invariant in broken_by_record(broken)
    with pytest.raises(InvariantBroken, match=invariant.name):
        check_record(broken)


def test_a_policy_that_allows_less_does_not_rewrite_what_was_allowed():
    record = replace(record_of(Shape.ATTACHED, now=60_000), policy=TWO_A_MINUTE, jumps=(1, 2, 3, 4))

    check_record(record)
    assert names_of(replace(record, jumps=(2, 1))) == ["bounded_switches"]


def names_of(record: Record) -> list[str]:
    return [each.name for each in broken_by_record(record)]


def with_session(**changed) -> Record:
    session: Session = replace(WELL.session, **changed)
    return replace(WELL, session=session)


TWO_A_MINUTE = Policy.from_mapping({"max_switches_per_minute": 2})
BROKEN = {
    "binding_fits_state": with_session(binding=None),
    "whole_identity": with_session(session_id=b"short"),
    "bounded_switches": replace(
        record_of(Shape.ATTACHED, now=60_000), policy=TWO_A_MINUTE, jumps=(1, 2, 60_000)
    ),
    "everything_ends": replace(
        record_of(Shape.RECOVERING),
        deadlines=replace(record_of(Shape.RECOVERING).deadlines, recovery_ends=None),
    ),
    "attempts_below_floor": replace(WELL, confirmed=replace(WELL.confirmed, attempt=1)),
    "roots_fit_binding": with_session(binding=binding(is_confirmed=False)),
    "secrets_erased": replace(
        record_of(Shape.TERMINATED), confirmed=Root(epoch=1, sealed=b"left", attempt=0)
    ),
}
