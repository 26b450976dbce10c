"""The working parts of a gateway, put together."""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from jumping_vpn.core.desk import GatewaySettings
from jumping_vpn.core.events import Origin
from jumping_vpn.core.gateway import GatewayCore
from jumping_vpn.core.ids import NodeId
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.gateway.addresses import AddressBook
from jumping_vpn.gateway.config import GatewayConfig
from jumping_vpn.gateway.driver import GatewayDriver
from jumping_vpn.gateway.operation import Clients, Operation
from jumping_vpn.gateway.orders import Orders
from jumping_vpn.gateway.plane import Plane
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.log import NodeLog
from jumping_vpn.service.report import Reporter
from jumping_vpn.store.contract import Store, Unreadable

POLICY_VERSION: Final = 1
PARTING_SECONDS_MAX: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Who this gateway is: its configuration, its policy, and the number of this start."""

    config: GatewayConfig
    policy: Policy
    incarnation: int

    @property
    def origin(self) -> Origin:
        """How its events name it."""
        return Origin(node_id=str(self.config.node), reveal_addresses=self.config.reveal_addresses)


class Gateway:
    """A node with its store and its data plane."""

    def __init__(
        self, node: Node, *, clients: Clients, store: Store, plane: Plane, clock: Clock
    ) -> None:
        self.log = NodeLog(store, node.origin, clock, incarnation=node.incarnation)
        self._addresses = AddressBook(node.config.network.subnets)
        self._store = store
        core = GatewayCore(
            _settings(node, clock),
            allocate=self._addresses.allocate,
            name_of=clients.name_of,
        )
        self.driver = GatewayDriver(
            core=core,
            plane=plane,
            orders=Orders(plane, released=self._addresses.release),
            store=store,
            log=self.log,
            clock=clock,
        )
        self.operation = Operation(
            driver=self.driver,
            plane=plane,
            store=store,
            clients=clients,
            clock=clock,
            node=node.config.node,
            incarnation=node.incarnation,
        )

    async def hold_all(self, reporter: Reporter) -> None:
        """Hold every session of the store; one that cannot be read is named and left alone."""
        for found in await self._store.all_live():
            if isinstance(found, Unreadable):
                self.log.store_failed(f"read session {found.session_id.hex()}")
                reporter.warn(f"session {found.session_id.hex()} cannot be read: {found.why}")
            else:
                self._addresses.hold(found.session.session_id, found.addresses)
                self.driver.hold(found)
        self.log.started(sessions=len(self.driver.records))

    async def part(self) -> None:
        """Write that the node ends in good order, and wait until the store has it."""
        newest = self._store.newest_seq
        self.log.stopped(sessions=len(self.driver.records))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PARTING_SECONDS_MAX):
                await self._store.wait_beyond(newest)


def _settings(node: Node, clock: Clock) -> GatewaySettings:
    config = node.config
    return GatewaySettings(
        node_id=NodeId(config.node),
        incarnation=node.incarnation,
        started=clock.now(),
        origin=node.origin,
        policy=node.policy,
        policy_version=POLICY_VERSION,
        routes=tuple(map(str, config.network.pushed_routes)),
        dns=tuple(map(str, config.network.dns)),
        endpoints=tuple(map(str, config.endpoints)),
        mtu=config.network.mtu,
    )
