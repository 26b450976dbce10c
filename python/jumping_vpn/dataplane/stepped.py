"""Data planes in virtual time: the same orders and facts, stepped by whoever simulates the rest.

Everything but the waiting is inherited. A plane that is stepped has no descriptor that becomes
readable: its owner rings when there are facts.
"""

import asyncio
from collections.abc import Callable
from typing import Self, TypeVar

from jumping_vpn._native import DataPlane, Keys, Stepper
from jumping_vpn.dataplane.keys import load_client_keys, load_gateway_keys
from jumping_vpn.dataplane.plane import ClientPlane, GatewayPlane, Plane

__all__ = [
    "Keys",
    "Stepped",
    "SteppedClientPlane",
    "SteppedGatewayPlane",
    "load_client_keys",
    "load_gateway_keys",
]


P = TypeVar("P", bound="Stepped")


class Stepped(Plane):
    """What both have: `stepper` gives the time and packets, `ring` says that there are facts."""

    stepper: Stepper

    def __init__(self, native: DataPlane) -> None:
        super().__init__(native)
        self._waiting: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake whoever waits for facts."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _readable(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting


class SteppedGatewayPlane(Stepped, GatewayPlane):
    """The data plane of a simulated gateway."""

    @classmethod
    def seeded(cls, keys: Keys, *, node: int, incarnation: int, capacity: int, seed: int) -> Self:
        """Make the data plane of a node's start; all its entropy comes from the seed."""
        stepper = Stepper.gateway(
            keys, node=node, incarnation=incarnation, capacity=capacity, seed=seed
        )
        return _around(cls, stepper)


class SteppedClientPlane(Stepped, ClientPlane):
    """The data plane of a simulated client; `on_path` hears what it opens and closes."""

    on_path: Callable[[int, str | None], None]

    @classmethod
    def seeded(cls, keys: Keys, *, gateway_public: bytes, seed: int) -> Self:
        """Make the data plane of a client; all its entropy comes from the seed."""
        return _around(cls, Stepper.client(keys, gateway_public=gateway_public, seed=seed))

    def open_path(self, path: int, interface: str, remote: str, port: int, mark: int) -> None:
        """Open a path; the network is told from which interface it leaves."""
        self.on_path(path, interface)
        super().open_path(path, interface, remote, port, mark)

    def close_path(self, path: int) -> None:
        """Close a path."""
        super().close_path(path)
        self.on_path(path, None)


def _around(kind: type[P], stepper: Stepper) -> P:
    plane = kind(stepper.plane())
    plane.stepper = stepper
    return plane
