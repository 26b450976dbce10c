"""A stream of candidates that appear and go, from the kernel's news and from name look-ups."""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Final

from jumping_vpn.system.settings import Endpoint
from jumping_vpn.transport.candidates import (
    Found,
    Pair,
    Selection,
    View,
    appeared,
    gone,
    outlived,
)
from jumping_vpn.transport.netlink import (
    AddressLost,
    AddressSeen,
    Change,
    EventsMissed,
    Kernel,
    LinkLost,
    LinkSeen,
)

LOOKUP_SECONDS_MAX: Final = 10.0
LOOKUP_AGAIN_SECONDS: Final = 300.0
LOOKUP_SPACING_SECONDS: Final = 1.0
LOOKUP_RETRY_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)


class Finds:
    """The stream itself: `async for find in finds`. What goes is told before what comes."""

    def __init__(
        self, kernel: Kernel, endpoints: Sequence[Endpoint], selection: Selection, *, mark: int
    ) -> None:
        self._kernel = kernel
        self._selection = selection
        self._mark = mark
        self._named = tuple(endpoints)
        self._addressed: dict[Endpoint, tuple[Endpoint, ...]] = {
            endpoint: (endpoint,) for endpoint in endpoints if _is_literal(endpoint)
        }
        self._view = View()
        self._live: dict[Pair, str] = {}
        self._found: deque[Found] = deque()
        self._woken = asyncio.Event()
        self._lookup_wanted = asyncio.Event()
        self._stale = True

    def __aiter__(self) -> AsyncIterator[Found]:
        return self

    async def __anext__(self) -> Found:
        """Wait for the next candidate that appears or goes."""
        while not self._found:
            if self._stale:
                self._refresh()
            else:
                await self._woken.wait()
                self._woken.clear()
        return self._found.popleft()

    def offer(self, endpoints: Sequence[Endpoint]) -> None:
        """Reach out to these endpoints from now on."""
        self._named = tuple(dict.fromkeys(endpoints))
        self._addressed = {
            endpoint: (endpoint,) if _is_literal(endpoint) else self._addressed.get(endpoint, ())
            for endpoint in self._named
        }
        self._lookup_wanted.set()
        self._wake()

    def smallest_mtu(self) -> int | None:
        """Return the smallest MTU among the interfaces of the live candidates."""
        return self._view.mtu(pair.interface for pair in self._live)

    def read_kernel(self) -> None:
        """Take in the kernel's news; what has lost its link or address goes at once."""
        try:
            changes = self._kernel.heard()
        except EventsMissed:
            self.read_everything()
            return
        self._apply(changes)
        possible = self._view.possible(self._endpoints(), self._selection)
        self._drop(outlived(self._live, possible))
        self._lookup_wanted.set()
        self._wake()

    def read_everything(self) -> None:
        """Ask the kernel for all of it: at the start, and when news was missed."""
        self._view = View()
        self._apply(self._kernel.everything())
        self._wake()

    async def look_up_names(self) -> None:
        """Keep the addresses of named endpoints fresh; a failed look-up changes nothing."""
        failures = 0
        while True:
            self._lookup_wanted.clear()
            names = [endpoint for endpoint in self._named if not _is_literal(endpoint)]
            known = [await self._look_up(name) for name in names]
            failures = 0 if all(known) else min(failures + 1, len(LOOKUP_RETRY_SECONDS))
            pause = LOOKUP_RETRY_SECONDS[failures - 1] if failures else LOOKUP_AGAIN_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause if names else None):
                    await self._lookup_wanted.wait()
            await asyncio.sleep(LOOKUP_SPACING_SECONDS)

    async def _look_up(self, name: Endpoint) -> bool:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS_MAX):
                infos = await asyncio.get_running_loop().getaddrinfo(
                    name.host, name.port, type=socket.SOCK_DGRAM
                )
        except (OSError, TimeoutError, UnicodeError):
            return False
        addressed = tuple(
            dict.fromkeys(Endpoint.of(str(address[0]), name.port) for *_, address in infos)
        )
        if name in self._named and self._addressed.get(name) != addressed:
            self._addressed[name] = addressed
            self._wake()
        return True

    def _refresh(self) -> None:
        self._stale = False
        possible = self._view.possible(self._endpoints(), self._selection)
        sources = {pair: self._source(pair) for pair in possible}
        self._drop(
            pair
            for pair, source in self._live.items()
            if source not in possible.get(pair, ()) or sources[pair] is None
        )
        fresh = {
            pair: source
            for pair, source in sources.items()
            if source is not None and source in possible[pair] and pair not in self._live
        }
        self._live |= fresh
        self._found.extend(appeared(fresh, self._selection))

    def _drop(self, pairs: Iterable[Pair]) -> None:
        lost = tuple(pairs)
        for pair in lost:
            del self._live[pair]
        self._found.extend(gone(lost, self._view.running()))

    def _source(self, pair: Pair) -> str | None:
        index = next(
            link.index for link in self._view.links.values() if link.name == pair.interface
        )
        return self._kernel.source_towards(Endpoint(pair.endpoint).host, index, self._mark)

    def _endpoints(self) -> tuple[Endpoint, ...]:
        resolved = (self._addressed.get(endpoint, ()) for endpoint in self._named)
        return tuple(dict.fromkeys(address for addresses in resolved for address in addresses))

    def _apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            match change:
                case LinkSeen(link=link):
                    self._view.see(link)
                case LinkLost(index=index):
                    self._view.lose(index)
                case AddressSeen(address=address):
                    self._view.addresses.add(address)
                case AddressLost(address=address):
                    self._view.addresses.discard(address)

    def _wake(self) -> None:
        self._stale = True
        self._woken.set()


@asynccontextmanager
async def discovering(
    endpoints: Sequence[Endpoint], selection: Selection, *, mark: int
) -> AsyncIterator[Finds]:
    """Find candidates for as long as the context lasts."""
    loop = asyncio.get_running_loop()
    with Kernel() as kernel:
        finds = Finds(kernel, endpoints, selection, mark=mark)
        finds.read_everything()
        loop.add_reader(kernel.fileno(), finds.read_kernel)
        try:
            async with asyncio.TaskGroup() as tasks:
                lookups = tasks.create_task(finds.look_up_names())
                yield finds
                lookups.cancel()
        finally:
            loop.remove_reader(kernel.fileno())


def _is_literal(endpoint: Endpoint) -> bool:
    try:
        ip_address(endpoint.host)
    except ValueError:
        return False
    return True
