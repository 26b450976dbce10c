"""A client from its start to its end.

The session outlives the process: a stop keeps it for the next start, and only its end erases it.
The network of this machine is put back in every case, and at the start after a crash.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Final

from jumping_vpn import __version__
from jumping_vpn.client.config import ClientConfig, ClientPaths, parse_client, state_directory
from jumping_vpn.client.doubt import tell_doubt
from jumping_vpn.client.driver import ClientDriver
from jumping_vpn.client.history import History
from jumping_vpn.client.network import MARK
from jumping_vpn.client.operation import Operation
from jumping_vpn.client.orders import Orders
from jumping_vpn.client.state import keeping, load
from jumping_vpn.client.tunnel import MachineTunnel, tunnelling
from jumping_vpn.core.client import ClientCore
from jumping_vpn.core.client_desk import ClientSettings
from jumping_vpn.core.commands import Discovery, Stop
from jumping_vpn.core.events import Origin
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Finish
from jumping_vpn.dataplane.keys import load_client_keys
from jumping_vpn.dataplane.plane import ClientPlane
from jumping_vpn.observe.buffer import EventBuffer, continue_log
from jumping_vpn.service.announce import announced
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.control import serving
from jumping_vpn.service.crew import Crew, StopWish, first_error, stopping_on_signals
from jumping_vpn.service.export import exporting
from jumping_vpn.service.lock import locked
from jumping_vpn.service.log import NodeLog
from jumping_vpn.service.notify import Standing, notify
from jumping_vpn.service.report import Reporter
from jumping_vpn.system.settings import Endpoint, check_private_directory
from jumping_vpn.transport.candidates import Selection
from jumping_vpn.transport.discovery import Finds, discovering

HANDSHAKE_TIMEOUT: Final = Millis(10_000)
STOPPING_SECONDS_MAX: Final = 3.0


async def run(file: Path, state_dir: Path | None, reporter: Reporter) -> Finish | None:
    """Run the client of this configuration file; None: it was stopped and the session is kept."""
    stop = StopWish()
    keys, text = load_client_keys(file)
    config = parse_client(text, source=str(file))
    paths = ClientPaths(state_directory(config.name, state_dir))
    paths.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private_directory(paths.directory)
    plane = ClientPlane.create(keys, gateway_public=config.gateway.public_key.decoded)
    with closing(plane), first_error(), stopping_on_signals(stop), locked(paths.lock):
        return await serve(plane, config, paths, reporter, stop, public_key=keys.public())


async def serve(  # noqa: PLR0913  what a client is made of
    plane: ClientPlane,
    config: ClientConfig,
    paths: ClientPaths,
    reporter: Reporter,
    stop: StopWish,
    *,
    public_key: bytes,
) -> Finish | None:
    """Serve until the session ends, or `stop` is wished; the caller holds the directory's lock."""
    state = load(paths.state)
    settings = _settings(config, public_key)
    clock = Clock()
    events = EventBuffer(await asyncio.to_thread(continue_log, paths.events))
    log = NodeLog(events, settings.origin, clock, incarnation=0)
    async with (
        keeping(paths.state) as keeper,
        exporting(events, paths.events, log),
        discovering(config.gateway.endpoints, _selection(config), mark=MARK) as finds,
        tunnelling(
            MachineTunnel(plane, config.tunnel, paths.journal, finds.smallest_mtu)
        ) as tunnel,
    ):
        core, history = ClientCore(settings), History(now=clock.now())
        driver = ClientDriver(
            core=core,
            plane=plane,
            orders=Orders(plane, mark=MARK),
            tunnel=tunnel,
            keeper=keeper,
            clock=clock,
            reporter=reporter,
            events=events,
            history=history,
            offer=lambda named: finds.offer((*config.gateway.endpoints, *_well_formed(named))),
        )
        operation = Operation(
            name=config.name,
            core=core,
            driver=driver,
            plane=plane,
            tunnel=tunnel,
            history=history,
            clock=clock,
        )
        plane.start()
        with announced("client", config.name, paths.control):
            async with serving(paths.control, operation.answer), Crew() as crew:
                crew.hire("mtu", tunnel.follow())
                crew.hire("doubt", tell_doubt(core, reporter))
                wished = crew.hire("stop", stop.wait())
                running = crew.hire("driver", driver.run(state, _looking(finds, tunnel)))
                notify(Standing.READY, status=config.name)
                await asyncio.wait((running, wished), return_when=asyncio.FIRST_COMPLETED)
                notify(Standing.STOPPING)
                if not running.done():
                    await driver.order(Stop())
                    await asyncio.wait((running,), timeout=STOPPING_SECONDS_MAX)
                return running.result() if running.done() else None


def _well_formed(named: tuple[str, ...]) -> tuple[Endpoint, ...]:
    """Return the endpoints that this version can reach out to."""
    endpoints = []
    for text in named:
        with contextlib.suppress(ValueError):
            endpoints.append(Endpoint(text))
    return tuple(endpoints)


async def _looking(finds: Finds, tunnel: MachineTunnel) -> AsyncIterator[Discovery]:
    async for find in finds:
        yield find
        tunnel.look()


def _selection(config: ClientConfig) -> Selection:
    interfaces = config.interfaces
    return Selection(
        tunnel=config.tunnel.interface,
        include=interfaces.include,
        exclude=interfaces.exclude,
        preference=interfaces.preference,
    )


def _settings(config: ClientConfig, public_key: bytes) -> ClientSettings:
    return ClientSettings(
        name=config.name,
        version=__version__,
        public_key=public_key,
        origin=Origin(node_id=config.name, reveal_addresses=config.reveal_addresses),
        requested=Policy.from_mapping(config.policy),
        handshake_timeout=HANDSHAKE_TIMEOUT,
    )
