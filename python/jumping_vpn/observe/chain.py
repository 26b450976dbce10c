"""The hash chain of a node's log: each line carries the hash of the line before it and its own.

The hash is SHA-256 over the canonical JSON of the event without its `hash`, which is the last
member; so whoever has the bytes of a line can check it without knowing what the event means. The
chain is the node's, not the file's: it goes on where a rotated file ended.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec

from jumping_vpn.core.events import Event, encode_event

GENESIS: Final = "0" * 64
"""What the first line of a node's log names as the hash before it."""

_OPEN: Final = b',"hash":"'
_SHUT: Final = b'"}'
_TAIL: Final = len(_OPEN) + 64 + len(_SHUT)
_EMPTY: Final = _OPEN + _SHUT


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log has come to: the number and the hash of its last line."""

    seq: int
    hash: str


START: Final = Head(0, GENESIS)


def link(event: Event, head: Head) -> tuple[bytes, Head]:
    """Return the line of the event that follows `head`, and the head after it."""
    seq = event.node_seq or head.seq + 1
    bare = encode_event(
        msgspec.structs.replace(event, node_seq=seq, prev_hash=head.hash, hash="")
    ).removesuffix(_EMPTY)
    digest = hashlib.sha256(bare + b"}").hexdigest()
    return bare + _OPEN + digest.encode() + _SHUT, Head(seq, digest)


def hash_of(line: bytes) -> str | None:
    """Return the hash that a line should carry, or None if it carries none where it belongs."""
    if len(line) < _TAIL or line[-_TAIL : -_TAIL + len(_OPEN)] != _OPEN or line[-2:] != _SHUT:
        return None
    return hashlib.sha256(line[:-_TAIL] + b"}").hexdigest()


def head_of(line: bytes) -> Head | None:
    """Return where a log stands after this line, or None if the line is none of a log's."""
    digest = hash_of(line)
    if digest is None or line[-66:-2] != digest.encode():
        return None
    try:
        return Head(_NUMBER.decode(line).node_seq, digest)
    except msgspec.DecodeError:
        return None


class _Number(msgspec.Struct):
    node_seq: int


_NUMBER: Final = msgspec.json.Decoder(_Number)
