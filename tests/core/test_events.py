"""Events: the envelope, the one event of each move, and what a log may tell."""

import json
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from jumping_vpn.core.event_data import DATA, DroppedData, Figures, Handover
from jumping_vpn.core.events import (
    DATA_OF,
    MOVE_TYPES,
    Event,
    EventType,
    Origin,
    Severity,
    Stamp,
    decode_event,
    encode_event,
    event_of_move,
    event_of_refusal,
    figures_of,
    make_event,
    policy_mark,
    subject_of,
)
from jumping_vpn.core.facts import PathSampled
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.redaction import Address, show, show_transport
from jumping_vpn.core.replay import replay
from jumping_vpn.core.session.inputs import (
    BindingLost,
    HandshakeVerified,
    ProtocolViolated,
    QualityBreached,
    ReattachVerified,
    TerminateVerified,
)
from jumping_vpn.core.session.invariants import InvariantBroken
from jumping_vpn.core.session.machine import Moved, Refused, advance
from jumping_vpn.core.session.model import Shape, State, Transport
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.session.table import TABLE_DIGEST
from support.records import WALL_MS, record_of
from support.sessions import any_input_of, attached, binding, born, inputs_for, session_of

ORIGIN = Origin(node_id="gateway-1", reveal_addresses=False)
STAMP = Stamp(wall_ms=WALL_MS, entropy=bytes(range(8)))
SUBJECT = subject_of(record_of(Shape.ATTACHED))


@pytest.mark.parametrize(
    ("shape", "on", "event_type"),
    [
        (Shape.BIRTH, HandshakeVerified, EventType.SESSION_CREATED),
        (Shape.RECOVERING, ReattachVerified, EventType.TRANSPORT_SWITCH),
        (Shape.ATTACHED, TerminateVerified, EventType.SESSION_TERMINATED),
        (Shape.ATTACHED, BindingLost, EventType.STATE_CHANGE),
    ],
)
def test_each_move_has_its_one_event_with_both_states(shape, on, event_type):
    session = session_of(shape)

    event = event_of(session, any_input_of(on, session))

    assert event.event_type is event_type
    assert event.data.state_before is session.state
    assert event.state_version == session.version + 1
    assert event.data.table == TABLE_DIGEST
    assert event.policy_version == f"1:{Policy().hash()}"


def test_an_event_survives_its_line_byte_for_byte():
    event = event_of(born(), HandshakeVerified(binding=binding()))

    line = encode_event(event)

    assert decode_event(line) == event
    assert encode_event(decode_event(line)) == line
    assert list(json.loads(line)) == ENVELOPE


def test_a_switch_tells_what_it_cost_and_a_verdict_its_figures():
    handover = Handover(attempt=4, cause=Reason.HEARTBEAT_TIMEOUT, left=None, in_doubt_down=3)
    sample = PathSampled(
        number=1,
        epoch=1,
        srtt_us=1,
        base_rtt_us=2,
        jitter_us=3,
        base_jitter_us=4,
        loss_in=0.5,
        loss_out=0.25,
        late_us=6,
    )

    jump = event_of(session_of(Shape.RECOVERING), jump_to(2), detail=handover)
    breach = QualityBreached(epoch=1, reason=Reason.HEARTBEAT_LATE)
    change = event_of(attached(), breach, detail=figures_of(sample))

    assert jump.data.handover == handover
    assert change.data.figures == Figures(
        srtt_us=1,
        base_rtt_us=2,
        jitter_us=3,
        base_jitter_us=4,
        loss_in=0.5,
        loss_out=0.25,
        late_us=6,
    )


def test_a_grave_reason_raises_the_severity_of_its_event():
    assert event_of(attached(), ProtocolViolated()).severity is Severity.ERROR
    quiet = TerminateVerified(reason=Reason.CLIENT_REQUEST)
    assert event_of(attached(), quiet).severity is Severity.NOTICE


def test_a_refused_input_is_an_observation_that_names_what_was_refused():
    stale = BindingLost(epoch=9, reason=Reason.LINK_DOWN)
    outcome = advance(attached(), stale, now=Millis(0))
    assert isinstance(outcome, Refused)

    event = event_of_refusal(outcome, SUBJECT, origin=ORIGIN, stamp=STAMP)

    assert event.event_type is EventType.INPUT_REFUSED
    assert event.reason_code is Reason.STALE_SIGNAL
    assert (event.data.input, event.data.epoch) == ("BindingLost", 9)
    assert event.state_version == 1


def test_data_of_another_type_breaks_the_program():
    wrong = DroppedData(what="facts", first=0, last=0, count=1)

    with pytest.raises(InvariantBroken, match="DroppedData in a NODE_STARTED"):
        make_event(
            EventType.NODE_STARTED,
            Reason.NODE_START,
            wrong,
            origin=ORIGIN,
            stamp=STAMP,
            session=None,
            policy=None,
        )


def test_every_type_of_data_belongs_to_a_type_of_event():
    assert set(DATA_OF) == set(EventType)
    assert set(DATA_OF.values()) == set(DATA)
    assert set(MOVE_TYPES) < set(EventType)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=8, max_size=32), st.integers(0, 4095))
def test_event_ids_are_version_7_and_ordered_within_an_instant(wall_ms, entropy, ordinal):
    stamp = Stamp(wall_ms=wall_ms, entropy=entropy, ordinal=ordinal)

    made = uuid.UUID(stamp.event_id())

    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == wall_ms
    if ordinal < 4095:
        assert stamp.event_id() < stamp.next().event_id()


@pytest.mark.parametrize(
    ("plain", "redacted"),
    [
        ("203.0.113.77:4789", "203.0.113.0/24"),
        ("203.0.113.77", "203.0.113.0/24"),
        ("[2001:db8:1:2ff::7]:4789", "2001:db8:1:200::/56"),
        ("2001:db8:1:2ff::7", "2001:db8:1:200::/56"),
        ("gateway.example:4789", "redacted"),
        ("", "redacted"),
    ],
)
def test_an_address_shows_only_its_prefix(plain: str, redacted: str):
    assert str(Address(plain)) == redacted
    assert plain not in repr(Address(plain)) or not plain
    assert show(plain, reveal=False) == redacted
    assert show(plain, reveal=True) == plain


def test_the_operator_decides_whether_events_show_addresses():
    hidden = event_of(born(), HandshakeVerified(binding=binding()))
    shown = event_of(
        born(),
        HandshakeVerified(binding=binding()),
        origin=Origin(node_id="gateway-1", reveal_addresses=True),
    )

    assert b"203.0.113.1" not in encode_event(hidden)
    assert b"10.77.0.2" not in encode_event(hidden)
    assert shown.data.transport_after == "udp/wifi/203.0.113.1:4789#1"
    assert shown.data.addresses == ("10.77.0.2", "fd77:4a56:504e::2")


@pytest.mark.parametrize("endpoint", ["203.0.113.1:4789", "[2001:db8::1]:4789", "host:1"])
def test_a_transport_is_read_back_from_its_text_redacted_or_not(endpoint: str):
    transport = Transport(id=3, adapter="udp", interface="wlan0", endpoint=endpoint)

    assert Transport.parse(str(transport)) == transport
    assert Transport.parse(show_transport(transport, reveal=False)).id == 3


@pytest.mark.parametrize("text", ["", "udp/wifi/host", "udp#1", "udp/wifi#1", "udp/wifi/host#x"])
def test_a_text_that_is_no_transport_is_refused(text: str):
    with pytest.raises(ValueError, match="no transport"):
        Transport.parse(text)


@given(st.data())
def test_every_story_that_the_machine_allows_replays_without_a_fault(data: st.DataObject):
    session, known = born(), None
    for step in range(data.draw(st.integers(1, 12))):
        outcome = advance(session, data.draw(inputs_for(session)), now=Millis(step))
        if isinstance(outcome, Refused):
            event = event_of_refusal(outcome, SUBJECT, origin=ORIGIN, stamp=STAMP)
        else:
            event = event_of_move(outcome, SUBJECT, origin=ORIGIN, stamp=STAMP)
            session = outcome.after

        replayed = replay(known, decode_event(encode_event(event)))

        assert replayed.broken == ()
        known = replayed.session


FORGERIES = {
    "state_version": 7,
    "binding_epoch": 9,
    "reason_code": Reason.REKEY,
    "event_type": EventType.SESSION_TERMINATED,
    "session_id": "00" * 16,
}
DATA_FORGERIES = {
    "input": "SessionTtlExpired",
    "state_before": State.VOLATILE,
    "state_after": State.DEGRADED,
    "epoch_before": 5,
    "transport_before": "udp/lte/203.0.113.0/24#2",
    "transport_after": "udp/lte/203.0.113.0/24#2",
    "owner": 9,
    "table": "00" * 32,
}


@pytest.mark.parametrize(("field", "value"), FORGERIES.items())
def test_a_forged_envelope_is_found(field: str, value: object):
    known, event = told_and_next()

    forged = msgspec.structs.replace(event, **{field: value})

    assert replay(known, event).broken == ()
    assert replay(known, forged).broken != ()


@pytest.mark.parametrize(("field", "value"), DATA_FORGERIES.items())
def test_forged_data_is_found(field: str, value: object):
    known, event = told_and_next()

    forged = msgspec.structs.replace(
        event, data=msgspec.structs.replace(event.data, **{field: value})
    )

    assert replay(known, forged).broken != ()


@pytest.mark.parametrize(
    "forged",
    [
        {"session_id": "not hexadecimal"},
        {"session_id": None},
        {"state_version": None},
        {"state_version": -5},
    ],
)
def test_a_line_that_makes_no_sense_is_named_and_never_raises(forged):
    known, event = told_and_next()

    assert replay(known, msgspec.structs.replace(event, **forged)).broken != ()
    assert replay(None, msgspec.structs.replace(event, **forged)).broken != ()


def test_a_missing_event_is_found_by_the_one_after_it():
    lost = BindingLost(epoch=1, reason=Reason.LINK_DOWN)
    created, dropped = HandshakeVerified(binding=binding()), lost
    first = advance(born(), created, now=Millis(0))
    assert isinstance(first, Moved)
    second = advance(first.after, dropped, now=Millis(1))
    assert isinstance(second, Moved)

    known = replay(None, as_event(first)).session
    third = event_of(second.after, jump_to(2))

    assert any("version before the event is 2" in each for each in replay(known, third).broken)


def test_an_observation_may_not_know_a_version_that_the_log_has_not_told():
    known, _ = told_and_next()
    refused = advance(
        replace(attached(), version=8), BindingLost(epoch=9, reason=Reason.LINK_DOWN), now=Millis(0)
    )
    assert isinstance(refused, Refused)

    early = event_of_refusal(refused, SUBJECT, origin=ORIGIN, stamp=STAMP)

    assert "version 8, not yet told" in replay(known, early).broken[0]


def test_a_session_that_comes_from_another_log_is_taken_as_it_describes_itself():
    event = event_of(session_of(Shape.RECOVERING), jump_to(2))

    replayed = replay(None, event)

    assert replayed.broken == ()
    assert replayed.session is not None
    assert replayed.session.version == 2


def test_a_policy_is_marked_by_version_and_hash():
    assert policy_mark(3, Policy()) == f"3:{Policy().hash()}"


ENVELOPE = [
    "event_id",
    "ts_ms",
    "event_type",
    "severity",
    "node_id",
    "node_seq",
    "session_id",
    "state_version",
    "binding_epoch",
    "reason_code",
    "policy_version",
    "data",
    "prev_hash",
    "hash",
]


def jump_to(epoch: int) -> ReattachVerified:
    return ReattachVerified(binding=binding(epoch=epoch), reason=Reason.REATTACH_SUCCESS)


def event_of(session, given_input, *, origin=ORIGIN, detail=None) -> Event:
    outcome = advance(session, given_input, now=Millis(0))
    assert isinstance(outcome, Moved)
    return event_of_move(outcome, SUBJECT, origin=origin, stamp=STAMP, detail=detail)


def as_event(moved: Moved) -> Event:
    return event_of_move(moved, SUBJECT, origin=ORIGIN, stamp=STAMP)


def told_and_next():
    """Return the session as a log told it, and the event that follows."""
    created = event_of(born(), HandshakeVerified(binding=binding()))
    known = replay(None, created).session
    return known, event_of(attached(), BindingLost(epoch=1, reason=Reason.LINK_DOWN))
