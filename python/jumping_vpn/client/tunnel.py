"""The tunnel on this machine: its interface, and what the kernel is told about it.

Every change is made off the event loop and one after another, so that a jump never waits for `ip`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from jumping_vpn.client import network
from jumping_vpn.client.config import TunnelSettings
from jumping_vpn.core.ready import OpenTunnel


class TunHolder(Protocol):
    """The part of the data plane that has the interface."""

    def open_tun(self, name: str, mtu: int) -> str:
        """Open the interface and return its name."""


class MachineTunnel:
    """Follows the grants of the session, and the MTU of the candidates."""

    def __init__(
        self,
        plane: TunHolder,
        settings: TunnelSettings,
        journal: Path,
        smallest_mtu: Callable[[], int | None],
    ) -> None:
        self._plane = plane
        self._settings = settings
        self._journal = journal
        self._smallest_mtu = smallest_mtu
        self._interface = ""
        self._granted: OpenTunnel | None = None
        self._present: network.Tunnel | None = None
        self._changed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")

    @property
    def interface(self) -> str:
        """The name of the open interface; empty before the first grant."""
        return self._interface

    async def open(self, order: OpenTunnel) -> None:
        """Bring the tunnel to what the session granted."""
        self._granted = order
        await self.fit()

    async def fit(self) -> None:
        """Bring the tunnel to the grant and to the smallest MTU of the candidates."""
        granted = self._granted
        if granted is None:
            return
        mtu = network.tunnel_mtu(self._smallest_mtu(), self._settings.mtu or granted.mtu)
        if not self._interface:
            self._interface = self._plane.open_tun(self._settings.interface, mtu)
        wanted = network.Tunnel(
            interface=self._interface,
            addresses=granted.addresses,
            routes=granted.routes,
            mtu=mtu,
            keep_local_networks=self._settings.keep_local_networks,
            dns=granted.dns,
        )
        if wanted != self._present:
            await self._run(network.set_up, wanted, self._journal)
            self._present = wanted

    def look(self) -> None:
        """Note that the candidates changed."""
        self._changed.set()

    async def follow(self) -> None:
        """Follow the MTU of the candidates for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.fit()

    async def _run(self, work: Callable[..., None], *arguments: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def close(self) -> None:
        """Remove what this run changed; also what an earlier one left that did not end well."""
        await self._run(network.tear_down, self._journal)
        self._thread.shutdown()


@asynccontextmanager
async def tunnelling(tunnel: MachineTunnel) -> AsyncIterator[MachineTunnel]:
    """Have the tunnel for as long as the context lasts."""
    try:
        yield tunnel
    finally:
        await tunnel.close()
