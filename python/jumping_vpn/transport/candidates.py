"""Which candidates exist: each usable local interface times each endpoint it has a route to.

An interface is usable for an endpoint when it is up and running, has a global address of the
endpoint's family, is not the tunnel itself, and is loopback exactly when the endpoint is. Whether
there is a route is the kernel's own answer. A candidate lives as long as the source address that
the kernel chose for it: when it goes, the candidate goes, even if another takes its place.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from jumping_vpn.core.commands import CandidateAppeared, CandidateGone
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.system.settings import Endpoint

Found: TypeAlias = CandidateAppeared | CandidateGone


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface as the kernel describes it."""

    index: int
    name: str
    running: bool
    loopback: bool
    mtu: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A global address that an interface may send from; loopback's count as global on loopback."""

    link: int
    address: IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which interfaces the person allows, by patterns such as `wlan*`, and which come first."""

    tunnel: str
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    preference: tuple[str, ...] = ()

    def allows(self, interface: str) -> bool:
        """Say whether a session may use this interface."""
        if interface == self.tunnel or _matches(interface, self.exclude):
            return False
        return not self.include or _matches(interface, self.include)

    def rank(self, interface: str) -> int:
        """Return the place of the interface in the order of preference, the best first."""
        places = (
            place
            for place, pattern in enumerate(self.preference)
            if fnmatchcase(interface, pattern)
        )
        return next(places, len(self.preference))


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """An interface and an endpoint: what a candidate is, before anybody numbered it."""

    interface: str
    endpoint: str


@dataclass(slots=True)
class View:
    """The links and addresses of this machine, kept up to date by events."""

    links: dict[int, Link] = field(default_factory=dict)
    addresses: set[Address] = field(default_factory=set)

    def see(self, link: Link) -> None:
        """Take in what the kernel says about a link; one that is down has lost its routes."""
        self.links[link.index] = link

    def lose(self, index: int) -> None:
        """Forget a link that was deleted, with its addresses."""
        self.links.pop(index, None)
        self.addresses = {address for address in self.addresses if address.link != index}

    def running(self) -> frozenset[str]:
        """Return the names of the links that are up and running."""
        return frozenset(link.name for link in self.links.values() if link.running)

    def sources(self, link: Link, endpoint: Endpoint) -> frozenset[str]:
        """Return the addresses this link could send from to the endpoint; none: unusable."""
        target = ip_address(endpoint.host)
        if not link.running or link.loopback != target.is_loopback:
            return frozenset()
        return frozenset(
            str(own.address)
            for own in self.addresses
            if own.link == link.index and own.address.version == target.version
        )

    def possible(
        self, endpoints: Iterable[Endpoint], selection: Selection
    ) -> dict[Pair, frozenset[str]]:
        """Return every pair that link and address allow, with the addresses to send from."""
        links = [link for link in self.links.values() if selection.allows(link.name)]
        return {
            Pair(link.name, str(endpoint)): sources
            for endpoint in endpoints
            for link in links
            if (sources := self.sources(link, endpoint))
        }

    def mtu(self, interfaces: Iterable[str]) -> int | None:
        """Return the smallest MTU among these interfaces, or None when none of them exists."""
        names = frozenset(interfaces)
        return min((link.mtu for link in self.links.values() if link.name in names), default=None)


def outlived(live: Mapping[Pair, str], possible: Mapping[Pair, frozenset[str]]) -> tuple[Pair, ...]:
    """Return the candidates whose link or source address is gone."""
    return tuple(pair for pair, source in live.items() if source not in possible.get(pair, ()))


def gone(pairs: Iterable[Pair], running: Container[str]) -> tuple[CandidateGone, ...]:
    """Return the news that `pairs` went: one for each interface that is not running any more."""
    wanted = {
        (pair.interface, pair.endpoint if pair.interface in running else "") for pair in pairs
    }
    return tuple(
        CandidateGone(interface=interface, endpoint=endpoint or None, cause=Reason.LINK_DOWN)
        for interface, endpoint in sorted(wanted)
    )


def appeared(pairs: Iterable[Pair], selection: Selection) -> tuple[CandidateAppeared, ...]:
    """Return the news that `pairs` can be used, the preferred ones first."""
    ordered = sorted(pairs, key=lambda pair: (selection.rank(pair.interface), pair))
    return tuple(
        CandidateAppeared(
            interface=pair.interface,
            endpoint=pair.endpoint,
            preference=selection.rank(pair.interface),
        )
        for pair in ordered
    )


def _matches(interface: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(interface, pattern) for pattern in patterns)
