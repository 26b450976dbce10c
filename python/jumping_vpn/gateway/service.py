"""A gateway from its start to its end.

The start serves first: clients are answered as soon as their sessions are held, while the network
beneath is still brought into order and what the restart did to each session is still being written.
The end leaves nothing behind: sockets closed, network restored, events exported, lock released.
"""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from jumping_vpn.core.ids import NodeId
from jumping_vpn.core.policy.limits import Policy, PolicyError
from jumping_vpn.dataplane.keys import load_gateway_keys
from jumping_vpn.dataplane.plane import GatewayPlane
from jumping_vpn.gateway import network
from jumping_vpn.gateway.config import GatewayConfig, GatewayPaths, load
from jumping_vpn.gateway.node import Gateway, Node
from jumping_vpn.gateway.operation import Clients
from jumping_vpn.service.announce import announced
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.control import serving
from jumping_vpn.service.crew import Crew, StopWish, first_error, stopping_on_signals
from jumping_vpn.service.export import exporting
from jumping_vpn.service.lock import locked
from jumping_vpn.service.notify import Standing, notify
from jumping_vpn.service.report import Reporter
from jumping_vpn.store.sqlite import SqliteStore
from jumping_vpn.system import kernel
from jumping_vpn.system.settings import ConfigError

SETTLING_SECONDS_MAX: Final = 3.0
COLLECT_AFTER: Final = (50_000, 20, 100)
"""Rarer collections than Python's own: what a jump makes holds no cycles."""


async def run(directory: Path, reporter: Reporter) -> None:
    """Run the gateway of this directory until a signal ends it."""
    stop = StopWish()
    with first_error(), stopping_on_signals(stop), locked(GatewayPaths(directory).lock):
        await serve(directory, reporter, stop)


async def serve(directory: Path, reporter: Reporter, stop: StopWish) -> None:
    """Serve until `stop` is wished; the caller holds the directory's lock."""
    # What the start makes stays: looking through it for garbage again and again finds none.
    gc.disable()
    paths = GatewayPaths(directory)
    config = load(directory)
    policy = _policy(config, paths)
    clients = Clients(directory)
    async with _storing(paths) as store:
        incarnation = await store.start_node(NodeId(config.node))
        node = Node(config=config, policy=policy, incarnation=incarnation)
        with contextlib.closing(_plane(node, directory)) as plane:
            gateway = Gateway(node, clients=clients, store=store, plane=plane, clock=Clock())
            plane.allow_clients(clients.publics)
            await gateway.hold_all(reporter)
            _leave_in_peace()
            async with exporting(store, paths.events, gateway.log, shown=reporter.logged):
                interface = plane.open_tun(config.network.interface, config.network.mtu)
                plane.start()
                async with _networked(config, interface, paths) as network_in_order:
                    await _serve(gateway, node, paths, network_in_order, reporter, stop)
                plane.close()
                await gateway.part()


async def _serve(  # noqa: PLR0913, PLR0917  the parts of a running gateway
    gateway: Gateway,
    node: Node,
    paths: GatewayPaths,
    network_in_order: Awaitable[None],
    reporter: Reporter,
    stop: StopWish,
) -> None:
    async def bring_network_in_order() -> None:
        await network_in_order

    async with serving(paths.control, gateway.operation.answer), Crew() as crew:
        crew.hire("driver", gateway.driver.run())
        crew.hire("network", bring_network_in_order())
        with announced("gateway", str(node.config.node), paths.control):
            held = f"{len(gateway.driver.records)} sessions held"
            notify(Standing.READY, status=held)
            reporter.say(f"serving on port {node.config.port}/udp, {held}")
            cause = await stop.wait()
        notify(Standing.STOPPING)
        reporter.say(f"stopping: {cause}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLING_SECONDS_MAX):
                await gateway.driver.settle()


@asynccontextmanager
async def _storing(paths: GatewayPaths) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(paths.sessions)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def _networked(
    config: GatewayConfig, interface: str, paths: GatewayPaths
) -> AsyncIterator[Awaitable[None]]:
    """Bring the network into order beside the serving; restore it at the end."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="network") as thread:
        in_order = loop.run_in_executor(
            thread, network.set_up, config.network, interface, paths.journal
        )
        try:
            yield in_order
        finally:
            await asyncio.wait((in_order,))
            await loop.run_in_executor(thread, network.tear_down, paths.journal)


def _plane(node: Node, directory: Path) -> GatewayPlane:
    """Open the data plane with its sockets: what clients send from here on waits in the kernel."""
    config = node.config
    plane = GatewayPlane.create(
        load_gateway_keys(directory),
        node=config.node,
        incarnation=node.incarnation,
        capacity=config.capacity,
    )
    try:
        for address in _listening(config):
            _listen(plane, address, config.port)
        plane.set_isolation(isolated=config.network.isolate_clients)
    except BaseException:
        plane.close()
        raise
    return plane


def _leave_in_peace() -> None:
    """Keep the collector of cycles from going through what lives as long as the process."""
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    gc.enable()


def _listening(config: GatewayConfig) -> tuple[str, ...]:
    """Return the addresses to listen on, of the families that this kernel has."""
    ipv6 = kernel.has_ipv6()
    return tuple(address for address in config.listen if ipv6 or ":" not in address)


def _listen(plane: GatewayPlane, address: str, port: int) -> None:
    try:
        plane.listen(address, port)
    except OSError as error:
        where = f"port {port}/udp on {address}"
        raise OSError(error.errno, error.strerror, where) from error


def _policy(config: GatewayConfig, paths: GatewayPaths) -> Policy:
    try:
        return Policy.from_mapping(config.policy)
    except PolicyError as error:
        raise ConfigError(f"{paths.config}: [policy] {error}") from error
