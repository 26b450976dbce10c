"""The hash chain of a node's log: each line carries the hash of the line before it and its own.

The hash is SHA-256 over the canonical JSON of the event without its `hash`, which is the last
member; so whoever has the bytes of a line can check it without knowing what the event means. The
chain is the node's, not the file's: it goes on where a rotated file ended.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import msgspec

GENESIS: Final = "0" * 64
"""What the first line of a node's log names as the hash before it."""

_OPEN: Final = b',"hash":"'
_SHUT: Final = b'"}'
_TAIL: Final = len(_OPEN) + 64 + len(_SHUT)
_EMPTY: Final = _OPEN + _SHUT
_UNNUMBERED: Final = b',"node_seq":0,'
_PREVIOUS: Final = b'"prev_hash":"'
_UNLINKED: Final = _PREVIOUS + b'"' + _EMPTY


@dataclass(frozen=True, slots=True)
class Head:
    """Where a log has come to: the number and the hash of its last line."""

    seq: int
    hash: str


START: Final = Head(0, GENESIS)


def link(event: bytes, seq: int, head: Head) -> tuple[bytes, Head]:
    """Return the line of an encoded event that follows `head` as number `seq`, and the head after.

    As an outbox keeps it, the event's three members of the log are empty. They are set where they
    stand: a quotation mark inside of a text is escaped, so nothing else looks like the first. Any
    other bytes raise ValueError.
    """
    front, unnumbered, rest = event.partition(_UNNUMBERED)
    if not unnumbered or not rest.endswith(_UNLINKED):
        raise ValueError(f"not as an outbox keeps it: {event!r}")
    rest = rest.removesuffix(_UNLINKED)
    bare = b'%s,"node_seq":%d,%s%s%s"' % (front, seq, rest, _PREVIOUS, head.hash.encode())
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
