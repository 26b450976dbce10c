"""The stored form of a record: MessagePack of all its fields, and a checksum.

The policy is the largest part and the same for most sessions, so it is encoded and decoded
once for all that share it. The number is a column of its own, because it is issued after the record
was made.
"""

import zlib
from functools import lru_cache
from typing import Any, Final, get_type_hints

import msgspec
from msgspec import structs

from jumping_vpn.core.ids import SessionNumber
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.record import Record

FORMAT: Final = 1


class Unintelligible(Exception):
    """These bytes are no record that this program can read; the text says why."""


def encode_record(record: Record) -> bytes:
    """Return the stored form."""
    policy: Any = _encoded_policy(record.policy)
    return _ENCODER.encode(structs.replace(record, policy=policy))


def checksum(encoded: bytes) -> int:
    """Return what tells damaged bytes from whole ones."""
    return zlib.crc32(encoded)


def decode_record(encoded: bytes, *, number: SessionNumber, form: int, expected_sum: int) -> Record:
    """Return the record, or raise `Unintelligible`."""
    if form > FORMAT:
        raise Unintelligible(f"record format {form} is newer than {FORMAT}, the newest known here")
    if form != FORMAT:
        raise Unintelligible(f"record format {form} is unknown")
    if checksum(encoded) != expected_sum:
        raise Unintelligible("the record is damaged: its checksum does not fit")
    try:
        raw: Any = _DECODER.decode(encoded)
        policy = _decode_policy(bytes(raw.policy))
    except (msgspec.DecodeError, ValueError) as error:
        raise Unintelligible(f"the record is damaged: {error}") from error
    parts = {name: getattr(raw, name) for name in _COPIED}
    return Record(**parts, policy=policy, number=number)


@lru_cache(maxsize=256)
def _encoded_policy(policy: Policy) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(policy))


@lru_cache(maxsize=256)
def _decode_policy(encoded: bytes) -> Policy:
    return msgspec.msgpack.decode(encoded, type=Policy)


def _stored_type() -> type[msgspec.Struct]:
    hints = get_type_hints(Record)
    names = Record.__struct_fields__
    types = [msgspec.Raw if name == "policy" else hints[name] for name in names]
    return msgspec.defstruct("StoredRecord", list(zip(names, types, strict=True)), frozen=True)


_COPIED: Final = tuple(
    name for name in Record.__struct_fields__ if name not in {"policy", "number"}
)
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_stored_type())
