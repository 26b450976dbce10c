"""Inner addresses: the gateway's is the first of each subnet, a client's the lowest free one."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, TypeAlias

from jumping_vpn.system.settings import Subnet

Parsed: TypeAlias = IPv4Network | IPv6Network

FIRST: Final = 2
"""The offset of the first address that a client may have."""


def gateway_addresses(subnets: Sequence[Subnet]) -> tuple[str, ...]:
    """Return the gateway's own address in each subnet, with its prefix length."""
    return tuple(f"{subnet.parsed[1]}/{subnet.parsed.prefixlen}" for subnet in subnets)


class Pool:
    """The addresses of some subnets: which are in use, and from where on a free one is looked for.

    Below `_from` every address of a subnet is in use, so that a birth costs no scan over all.
    """

    def __init__(self, subnets: Sequence[Subnet]) -> None:
        self._subnets = tuple(subnet.parsed for subnet in subnets)
        self._from = [FIRST] * len(self._subnets)
        self._taken: set[str] = set()

    def take(self, addresses: Iterable[str]) -> None:
        """Note addresses that are in use."""
        self._taken.update(addresses)

    def give_back(self, addresses: Iterable[str]) -> None:
        """Note addresses that are free again."""
        for text in addresses:
            self._taken.discard(text)
            address = ip_address(text)
            for index, subnet in enumerate(self._subnets):
                if address in subnet:
                    offset = int(address) - int(subnet.network_address)
                    self._from[index] = max(FIRST, min(self._from[index], offset))

    def lowest(self) -> tuple[str, ...] | None:
        """Return the lowest free address of each subnet, or None when one has none left."""
        found = tuple(self._lowest_of(index) for index in range(len(self._subnets)))
        return None if None in found else tuple(filter(None, found))

    def _lowest_of(self, index: int) -> str | None:
        subnet = self._subnets[index]
        for offset in range(self._from[index], _last(subnet) + 1):
            text = str(subnet[offset])
            if text not in self._taken:
                self._from[index] = offset
                return text
        return None


def capacity(subnets: Sequence[Subnet]) -> int:
    """Return how many clients the smallest of the subnets can hold."""
    return min((_last(subnet.parsed) - 1 for subnet in subnets), default=0)


def _last(subnet: Parsed) -> int:
    """Return the offset of the last address a client may have: IPv4 keeps its broadcast address."""
    return subnet.num_addresses - (2 if subnet.version == 4 else 1)
