"""Addresses that do not leak by accident: their text is a prefix unless someone asks for more."""

import ipaddress
from functools import lru_cache
from typing import NewType

from msgspec import Struct

from jumping_vpn.core.session.model import Transport

Shown = NewType("Shown", str)
"""Text about an address that has been through this module; the only form that events carry."""


class Address(Struct, frozen=True):
    """An address with or without a port: `str()` shows its /24 or /56 only, `plain` all of it."""

    plain: str

    def __str__(self) -> str:
        """Return the redacted text."""
        return _prefix(host_of(self.plain))

    def __repr__(self) -> str:
        """Return the redacted text, so that tracebacks and logs do not leak either."""
        return f"Address({self})"


def host_of(text: str) -> str:
    """Return the host of "host", "host:port" or "[host]:port"."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def show(text: str, *, reveal: bool) -> Shown:
    """Return an address as events may carry it: whole only if the operator said so."""
    return Shown(text if reveal else str(Address(text)))


@lru_cache(maxsize=4096)
def show_transport(transport: Transport, *, reveal: bool) -> Shown:
    """Return a transport as events may carry it."""
    if reveal:
        return Shown(str(transport))
    endpoint = Address(transport.endpoint)
    return Shown(f"{transport.adapter}/{transport.interface}/{endpoint}#{transport.id}")


@lru_cache(maxsize=4096)
def _prefix(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "redacted"
    length = 24 if address.version == 4 else 56
    return str(ipaddress.ip_network((address, length), strict=False))
