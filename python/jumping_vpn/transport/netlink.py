"""What the kernel says about links, addresses and routes: asked once, then told as it changes."""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, nlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETROUTE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_ROUTE,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
)
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.marshal import MarshalRtnl
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from jumping_vpn.transport.candidates import Address, Link

GROUPS: Final = (
    RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE
)
EVENT_BYTES_MAX: Final = 1 << 20
READ_BYTES: Final = 1 << 17

IFF_LOOPBACK: Final = 0x8
IFF_UP_AND_RUNNING: Final = 0x41
IFA_F_DADFAILED: Final = 0x08
IFA_F_TENTATIVE: Final = 0x40
RT_SCOPE_UNIVERSE: Final = 0
RT_SCOPE_HOST: Final = 254
RTM_F_FIB_MATCH: Final = 0x2000


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSeen:
    """A link is there, or changed."""

    link: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLost:
    """A link was deleted."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressSeen:
    """An interface has an address that it may send from."""

    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressLost:
    """An interface lost an address, or may not send from it."""

    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesChanged:
    """Some route came or went."""


Message: TypeAlias = Any
"""A message as pyroute2 decodes it; the library has no types."""

Change: TypeAlias = LinkSeen | LinkLost | AddressSeen | AddressLost | RoutesChanged


class EventsMissed(Exception):
    """The kernel had more to tell than fitted: everything has to be asked again."""


class Kernel:
    """Two netlink sockets: one hears changes, one asks. Neither ever blocks."""

    def __init__(self) -> None:
        self._marshal = MarshalRtnl()
        self._sequence = 0
        self._asking = _socket()
        self._hearing = _socket()
        self._hearing.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, EVENT_BYTES_MAX)
        self._hearing.bind((0, GROUPS))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._asking.close()
        self._hearing.close()

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when something changed."""
        return self._hearing.fileno()

    def heard(self) -> tuple[Change, ...]:
        """Return what changed since the last call, or raise EventsMissed."""
        changes: list[Change] = []
        while True:
            try:
                data = self._hearing.recv(READ_BYTES)
            except BlockingIOError:
                return tuple(changes)
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    raise EventsMissed from error
                raise
            changes += filter(None, map(_change, self._marshal.parse(data)))

    def everything(self) -> tuple[Change, ...]:
        """Return every link and every address that there is."""
        links = self._ask(ifinfmsg(), RTM_GETLINK, NLM_F_DUMP)
        addresses = self._ask(ifaddrmsg(), RTM_GETADDR, NLM_F_DUMP)
        return tuple(filter(None, map(_change, (*links, *addresses))))

    def source_towards(self, destination: str, link: int, mark: int) -> str | None:
        """Return the address that packets with `mark` leave from over this link; None: no route.

        The first question is whether a route matches: a plain look-up with a given interface
        answers for IPv4 that any destination is on the link.
        """
        if self._route(destination, link, mark, RTM_F_FIB_MATCH) is None:
            return None
        route = self._route(destination, link, mark, 0)
        return None if route is None else route.get_attr("RTA_PREFSRC")

    def _route(self, destination: str, link: int, mark: int, flags: int) -> Message | None:
        request = rtmsg()
        address = ip_address(destination)
        request["family"] = socket.AF_INET if address.version == 4 else socket.AF_INET6
        request["dst_len"] = address.max_prefixlen
        request["flags"] = flags
        request["attrs"] = [["RTA_DST", destination], ["RTA_OIF", link], ["RTA_MARK", mark]]
        try:
            return next(self._ask(request, RTM_GETROUTE, 0), None)
        except NetlinkError:
            return None

    def _ask(self, request: nlmsg, kind: int, flags: int) -> Iterator[Message]:
        self._sequence += 1
        request["header"]["type"] = kind
        request["header"]["flags"] = NLM_F_REQUEST | flags
        request["header"]["sequence_number"] = self._sequence
        request.encode()
        self._asking.send(request.data)
        # The kernel answers inside the call that asks: what is not there to read does not exist.
        while True:
            for answer in self._marshal.parse(self._asking.recv(READ_BYTES)):
                header = answer["header"]
                if header["sequence_number"] != self._sequence:
                    continue
                if header["error"] is not None:
                    raise header["error"]
                if header["type"] == NLMSG_DONE:
                    return
                yield answer
                if not flags:
                    return


def _socket() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    return socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)


def _change(message: Message) -> Change | None:
    match message["header"]["type"]:
        case _ if message["header"]["error"] is not None:
            return None
        case kind if kind == RTM_NEWLINK:
            return LinkSeen(link=_link(message))
        case kind if kind == RTM_DELLINK:
            # A bridge port that leaves its bridge is announced like a deletion; the link remains.
            return LinkLost(index=message["index"]) if message["family"] == 0 else None
        case kind if kind in {RTM_NEWADDR, RTM_DELADDR}:
            return _address_change(message, deleted=kind == RTM_DELADDR)
        case kind if kind in {RTM_NEWROUTE, RTM_DELROUTE}:
            return RoutesChanged()
    return None


def _link(message: Message) -> Link:
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        running=message["flags"] & IFF_UP_AND_RUNNING == IFF_UP_AND_RUNNING,
        loopback=bool(message["flags"] & IFF_LOOPBACK),
        mtu=message.get_attr("IFLA_MTU"),
    )


def _address_change(message: Message, *, deleted: bool) -> Change | None:
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    address = Address(link=message["index"], address=ip_address(text))
    if message["scope"] not in {RT_SCOPE_UNIVERSE, RT_SCOPE_HOST}:
        return None
    if (message["scope"] == RT_SCOPE_HOST) != address.address.is_loopback:
        return None
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    if deleted or flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED):
        return AddressLost(address=address)
    return AddressSeen(address=address)
