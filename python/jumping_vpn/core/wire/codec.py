"""Control messages to bytes and back: msgpack on the wire, JSON in logs.

Decoding is total: whatever the bytes are, the result is an `Envelope` or one `ProtocolError`. The
size is bounded before anything is parsed, so neither memory nor time exceed a small multiple of it.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, structs

from jumping_vpn.core.wire.constants import MESSAGE_BYTES_MAX, PROTOCOL_VERSION
from jumping_vpn.core.wire.messages import (
    MESSAGE_TYPES,
    TYPE_NAMES,
    Envelope,
    HandshakeAck,
    PathReport,
    Payload,
    ReattachAck,
    WireEnvelope,
)


class Malformation(StrEnum):
    """What is wrong with a message."""

    TOO_LONG = "TOO_LONG"
    """More bytes than any message has."""
    UNKNOWN_TYPE = "UNKNOWN_TYPE"
    """Well formed, of a type that is not known here; it is answered with a reject that names it."""
    UNKNOWN_VERSION = "UNKNOWN_VERSION"
    """Well formed, of a protocol version that is not spoken here."""
    UNREADABLE = "UNREADABLE"
    """Not the encoding of a message, or a field is missing, of a wrong type or out of bounds."""


class ProtocolError(Exception):
    """The bytes are no message; the only exception that `decode` raises."""

    def __init__(
        self, what: Malformation, detail: str, *, message_type: str = "", sequence: int = 0
    ) -> None:
        super().__init__(f"{what}: {detail}")
        self.what = what
        self.detail = detail
        self.message_type = message_type
        self.sequence = sequence


_ENCODER: Final = msgspec.msgpack.Encoder()
_ENVELOPES: Final = msgspec.msgpack.Decoder(WireEnvelope)
_PAYLOADS: Final[dict[str, msgspec.msgpack.Decoder[Payload]]] = {
    name: msgspec.msgpack.Decoder(payload) for name, payload in MESSAGE_TYPES.items()
}


def encode(message: Envelope) -> bytes:
    """Return the bytes of a message."""
    wire = WireEnvelope(
        protocol_version=PROTOCOL_VERSION,
        message_type=TYPE_NAMES[type(message.payload)],
        session_id=message.session_id,
        state_version=message.state_version,
        binding_epoch=message.binding_epoch,
        ts_ms=message.ts_ms,
        sequence=message.sequence,
        payload=Raw(_ENCODER.encode(message.payload)),
    )
    return _ENCODER.encode(wire)


def decode(data: bytes) -> Envelope:
    """Return the message of these bytes, or raise `ProtocolError`, and nothing else."""
    if len(data) > MESSAGE_BYTES_MAX:
        raise ProtocolError(Malformation.TOO_LONG, f"{len(data)} of {MESSAGE_BYTES_MAX} bytes")
    wire = _read(_ENVELOPES, data)
    if wire.protocol_version != PROTOCOL_VERSION:
        raise ProtocolError(
            Malformation.UNKNOWN_VERSION,
            f"protocol version {wire.protocol_version}, spoken here: {PROTOCOL_VERSION}",
            message_type=wire.message_type,
            sequence=wire.sequence,
        )
    payload = _PAYLOADS.get(wire.message_type)
    if payload is None:
        raise ProtocolError(
            Malformation.UNKNOWN_TYPE,
            wire.message_type,
            message_type=wire.message_type,
            sequence=wire.sequence,
        )
    return Envelope(
        session_id=wire.session_id,
        state_version=wire.state_version,
        binding_epoch=wire.binding_epoch,
        ts_ms=wire.ts_ms,
        sequence=wire.sequence,
        payload=_read(payload, wire.payload),
    )


def with_lookup_ids(message: Envelope, ids: Sequence[bytes]) -> Envelope:
    """Return the message with these lookup ids in it."""
    payload = message.payload
    if not isinstance(payload, HandshakeAck | ReattachAck | PathReport):
        raise TypeError(f"{type(payload).__name__} carries no lookup ids")
    filled = structs.replace(payload, lookup_ids=tuple(ids))
    return structs.replace(message, payload=filled)


def to_json(message: Envelope) -> str:
    """Return the form of a message for logs: as on the wire, with bytes in hexadecimal."""
    fields = {
        "protocol_version": PROTOCOL_VERSION,
        "message_type": TYPE_NAMES[type(message.payload)],
        **structs.asdict(message),
    }
    builtins = msgspec.to_builtins(fields, builtin_types=(bytes,))
    return msgspec.json.encode(_readable(builtins)).decode()


_T = TypeVar("_T")


def _read(decoder: msgspec.msgpack.Decoder[_T], data: bytes | Raw) -> _T:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as broken:
        raise ProtocolError(Malformation.UNREADABLE, str(broken)[:200]) from None


def _readable(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _readable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_readable(item) for item in value]
    return value
