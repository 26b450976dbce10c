"""Packets as the explored network knows them: cryptography is names.

A packet opens for whoever knows the name of its key. Nothing is ever taken out of the network: what
was sent once may arrive at any time, any number of times, or never. That one rule is loss, delay,
duplication and reordering.
"""

from hashlib import blake2b
from typing import Final, Literal, TypeAlias

from msgspec import Struct


def name(*parts: object) -> bytes:
    """Return the name of a key or a packet that was made from exactly these parts."""
    return blake2b(repr(parts).encode(), digest_size=12).digest()


BIRTH_ROOT: Final = name("birth")


class Request(Struct, frozen=True):
    """REATTACH_REQUEST, sealed under `root`; `digest` names these very bytes."""

    attempt: int
    interface: str
    digest: bytes
    root: bytes
    message: bytes


class Response(Struct, frozen=True):
    """REATTACH_RESPONSE to the request `digest`; `nonce` stands for the gateway's key share."""

    interface: str
    digest: bytes
    nonce: bytes
    message: bytes


class Control(Struct, frozen=True):
    """CONTROL under the keys of a binding; no two are alike."""

    way: Literal["up", "down"]
    epoch: int
    root: bytes
    message: bytes


class Traffic(Struct, frozen=True):
    """The client's heartbeats and data under a binding."""

    epoch: int
    root: bytes


class Confirmation(Struct, frozen=True):
    """The gateway's first packet after the confirmation of a binding."""

    epoch: int
    root: bytes


class ResetHint(Struct, frozen=True):
    """RESET_HINT: the gateway holds no keys of the binding."""

    epoch: int


class Gone(Struct, frozen=True):
    """SESSION_GONE in answer to the request `digest`."""

    digest: bytes


Upward: TypeAlias = Request | Control | Traffic
Downward: TypeAlias = Response | Control | Confirmation | ResetHint | Gone
Packet: TypeAlias = Upward | Downward
