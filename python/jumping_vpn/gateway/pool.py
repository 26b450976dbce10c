"""Inner addresses: the gateway's is the first of each subnet, a client's the lowest free one."""

from collections.abc import Collection, Sequence
from ipaddress import IPv4Network, IPv6Network
from itertools import islice
from typing import TypeAlias

from jumping_vpn.system.settings import Subnet

Parsed: TypeAlias = IPv4Network | IPv6Network


def gateway_addresses(subnets: Sequence[Subnet]) -> tuple[str, ...]:
    """Return the gateway's own address in each subnet, with its prefix length."""
    return tuple(f"{subnet.parsed[1]}/{subnet.parsed.prefixlen}" for subnet in subnets)


def allot(subnets: Sequence[Subnet], used: Collection[str]) -> tuple[str, ...] | None:
    """Return one free address of each subnet, or None when one of them has none left."""
    taken = used if isinstance(used, (set, frozenset)) else frozenset(used)
    found = tuple(_lowest_free(subnet.parsed, taken) for subnet in subnets)
    return None if None in found else tuple(filter(None, found))


def capacity(subnets: Sequence[Subnet]) -> int:
    """Return how many clients the smallest of the subnets can hold."""
    return min((_last(subnet.parsed) - 1 for subnet in subnets), default=0)


def _lowest_free(subnet: Parsed, taken: Collection[str]) -> str | None:
    # Never more steps than there are addresses in use: the scan ends at the first that is not.
    candidates = (str(subnet[offset]) for offset in range(2, _last(subnet) + 1))
    return next((text for text in islice(candidates, len(taken) + 1) if text not in taken), None)


def _last(subnet: Parsed) -> int:
    """Return the offset of the last address a client may have: IPv4 keeps its broadcast address."""
    return subnet.num_addresses - (2 if subnet.version == 4 else 1)
