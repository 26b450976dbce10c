"""The control messages and their codec."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumping_vpn.core.wire import codec
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import Malformation, ProtocolError, decode, encode
from jumping_vpn.core.wire.constants import MESSAGE_BYTES_MAX, REQUEST_BYTES_MAX
from jumping_vpn.core.wire.messages import (
    MESSAGE_TYPES,
    PAYLOADS,
    Candidate,
    Envelope,
    HandshakeAck,
    PathReport,
    Payload,
    ReattachAck,
    ReattachRequest,
    SeenMove,
    StateAck,
    Trigger,
)


def test_every_message_survives_the_wire():
    for name, sample in SAMPLES.items():
        message = envelope(sample)

        returned = decode(encode(message))

        assert returned == message, name


def test_every_message_has_a_sample_of_its_largest_form():
    assert set(SAMPLES) == set(MESSAGE_TYPES)


def test_the_largest_messages_fit_their_packets():
    sizes = {name: len(encode(envelope(sample))) for name, sample in SAMPLES.items()}

    assert max(sizes.values()) <= MESSAGE_BYTES_MAX, sizes
    assert sizes["REATTACH_REQUEST"] <= REQUEST_BYTES_MAX


def test_names_on_the_wire_are_those_of_the_protocol():
    assert list(MESSAGE_TYPES) == [
        "HANDSHAKE_INIT",
        "HANDSHAKE_ACK",
        "HANDSHAKE_REJECT",
        "REATTACH_REQUEST",
        "REATTACH_ACK",
        "REATTACH_REJECT",
        "TRANSPORT_DEAD",
        "STATE_NOTICE",
        "STATE_ACK",
        "PATH_REPORT",
        "POLICY_CHANGED",
        "ENDPOINTS_CHANGED",
        "TERMINATE",
        "TERMINATE_ACK",
        "MESSAGE_REJECT",
    ]


@given(st.binary(max_size=2 * MESSAGE_BYTES_MAX))
def test_random_bytes_are_a_message_or_a_protocol_error(data):
    decode_totally(data)


@given(st.sampled_from(sorted(MESSAGE_TYPES)), st.data())
def test_damaged_messages_are_a_message_or_a_protocol_error(name, data):
    good = bytearray(encode(envelope(SAMPLES[name])))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(good)))

    decode_totally(bytes(good))
    decode_totally(bytes(good[:cut]))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=12), inner),
    ),
    st.sampled_from(sorted(MESSAGE_TYPES)),
)
def test_any_payload_is_a_message_or_a_protocol_error(payload, name):
    decode_totally(msgspec.msgpack.encode(wire_map(message_type=name, payload=payload)))


def test_deeply_nested_bytes_are_a_protocol_error():
    for opener in (b"\x91", b"\x81\xa1a"):
        with pytest.raises(ProtocolError):
            decode(opener * (MESSAGE_BYTES_MAX // len(opener)))


def test_an_overlong_message_is_refused_unread():
    with pytest.raises(ProtocolError) as refused:
        decode(b"\xc1" * (MESSAGE_BYTES_MAX + 1))

    assert refused.value.what is Malformation.TOO_LONG


def test_unknown_fields_are_ignored_in_envelope_and_payload():
    wire = wire_map(message_type="STATE_ACK", payload={"version": 3, "mood": [1, {"x": 2}]})
    wire["postmark"] = "new"

    assert decode(msgspec.msgpack.encode(wire)).payload == StateAck(version=3)


def test_an_unknown_type_is_named():
    with pytest.raises(ProtocolError) as refused:
        decode(msgspec.msgpack.encode(wire_map(message_type="RELAY_OFFER", payload={})))

    assert refused.value.what is Malformation.UNKNOWN_TYPE
    assert (refused.value.message_type, refused.value.sequence) == ("RELAY_OFFER", 5)


def test_another_protocol_version_is_named():
    wire = wire_map(message_type="STATE_ACK", payload={"version": 3})
    wire["protocol_version"] = 2

    with pytest.raises(ProtocolError) as refused:
        decode(msgspec.msgpack.encode(wire))

    assert refused.value.what is Malformation.UNKNOWN_VERSION


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("STATE_ACK", "version", -1),
        ("STATE_ACK", "version", 2**63),
        ("PATH_REPORT", "loss_in", 1.5),
        ("PATH_REPORT", "loss_in", float("nan")),
        ("PATH_REPORT", "lookup_ids", [b"short"]),
        ("TRANSPORT_DEAD", "cause", "not a code"),
        ("HANDSHAKE_ACK", "mtu", 1279),
        ("REATTACH_REQUEST", "trigger", "WHIM"),
    ],
)
def test_a_field_out_of_bounds_makes_the_message_unreadable(name, field, value):
    payload = msgspec.to_builtins(SAMPLES[name], builtin_types=(bytes,))
    payload[field] = value

    with pytest.raises(ProtocolError) as refused:
        decode(msgspec.msgpack.encode(wire_map(message_type=name, payload=payload)))

    assert refused.value.what is Malformation.UNREADABLE


def test_the_form_for_logs_has_bytes_in_hexadecimal():
    logged = json.loads(codec.to_json(envelope(StateAck(version=3))))

    assert logged["session_id"] == "07" * 16
    assert logged["message_type"] == "STATE_ACK"
    assert logged["payload"] == {"version": 3}


def test_lookup_ids_are_put_into_the_messages_that_carry_them():
    message = codec.with_lookup_ids(envelope(PathReport()), [b"\x01" * 16])

    assert message.payload == PathReport(lookup_ids=(b"\x01" * 16,))


def decode_totally(data: bytes) -> None:
    try:
        message = decode(data)
    except ProtocolError:
        return
    assert isinstance(message.payload, PAYLOADS)


def envelope(payload: Payload) -> Envelope:
    return Envelope(
        session_id=b"\x07" * 16,
        state_version=2**63 - 1,
        binding_epoch=2**63 - 1,
        ts_ms=1_800_000_000_000,
        sequence=2**63 - 1,
        payload=payload,
    )


def wire_map(*, message_type: str, payload: object) -> dict[str, object]:
    return {
        "protocol_version": 1,
        "message_type": message_type,
        "session_id": b"\x07" * 16,
        "state_version": 2,
        "binding_epoch": 1,
        "ts_ms": 1_800_000_000_000,
        "sequence": 5,
        "payload": payload,
    }


def samples() -> dict[str, Payload]:
    ids = tuple(bytes([n]) * 16 for n in range(8))
    endpoints = tuple(f"gateway-{n}.example.net:4789" for n in range(4))
    moves = tuple(
        SeenMove(2**63 - 1, "RECOVERING", "ATTACHED", "LATENCY_THRESHOLD_EXCEEDED", 2**53)
        for _ in range(8)
    )
    policy = {f"field_number_{n:02}": 600_000 for n in range(12)}
    return {
        "HANDSHAKE_INIT": m.HandshakeInit(
            client_version="0.1.0",
            candidate=Candidate(id=1, adapter="udp", interface="wlan0", endpoint="g:4789"),
            policy=policy,
            predecessor=b"\x02" * 16,
        ),
        "HANDSHAKE_ACK": HandshakeAck(
            client_name="laptop",
            owner=1,
            policy=policy,
            policy_version=1,
            policy_hash=b"\x03" * 32,
            addresses=("10.77.0.2/24", "fd77:4a56:504e::2/64"),
            routes=("10.0.0.0/8", "fd00::/8"),
            dns=("10.77.0.1",),
            mtu=1400,
            endpoints=endpoints,
            lookup_ids=ids,
        ),
        "HANDSHAKE_REJECT": m.HandshakeReject(
            reason=m.HandshakeRefusal.POLICY_REFUSED, detail="x" * 200, retry_after_ms=1000
        ),
        "REATTACH_REQUEST": ReattachRequest(
            trigger=Trigger.DEATH,
            cause="HEARTBEAT_TIMEOUT",
            candidate=Candidate(
                id=2**32 - 1, adapter="udp", interface="w" * 15, endpoint="e" * 120, hops=3
            ),
            unused_lookup_ids=3,
            policy_version=1,
            detect_ms=120,
        ),
        "REATTACH_ACK": ReattachAck(
            owner=1, moves=moves, lookup_ids=ids, policy_version=2, given_up=1, in_doubt=2
        ),
        "REATTACH_REJECT": m.ReattachReject(
            reason="NOT_OWNER", retry_after_ms=100, endpoints=endpoints, detail="x" * 200
        ),
        "TRANSPORT_DEAD": m.TransportDead(epoch=3, cause="LINK_DOWN"),
        "STATE_NOTICE": m.StateNotice(moves=moves),
        "STATE_ACK": StateAck(version=9),
        "PATH_REPORT": PathReport(
            srtt_us=1, jitter_us=2, loss_in=0.5, loss_out=1.0, unused_lookup_ids=1, lookup_ids=ids
        ),
        "POLICY_CHANGED": m.PolicyChanged(
            policy=policy, policy_version=2, policy_hash=b"\x03" * 32
        ),
        "ENDPOINTS_CHANGED": m.EndpointsChanged(endpoints=endpoints),
        "TERMINATE": m.Terminate(reason="CLIENT_REQUEST", detail="x" * 200),
        "TERMINATE_ACK": m.TerminateAck(reason="CLIENT_REQUEST"),
        "MESSAGE_REJECT": m.MessageReject(rejected_type="RELAY_OFFER", rejected_sequence=7),
    }


SAMPLES = samples()
