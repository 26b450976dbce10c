"""Both drivers, both roles, both data planes and the SQLite store, over UDP on the loopback."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from jumping_vpn.client.driver import ClientDriver
from jumping_vpn.client.history import History
from jumping_vpn.client.orders import Orders
from jumping_vpn.client.state import keeping, load
from jumping_vpn.core.client import ClientCore, ClientSettings
from jumping_vpn.core.commands import (
    CandidateAppeared,
    CandidateGone,
    Discovery,
    GoDown,
    OperatorJump,
    Stop,
)
from jumping_vpn.core.events import Event, EventType, Origin
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Finish, Outcome
from jumping_vpn.core.session.model import State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.gateway.config import GatewayConfig
from jumping_vpn.gateway.driver import GatewayDriver
from jumping_vpn.gateway.node import Gateway, Node
from jumping_vpn.gateway.operation import Clients
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.crew import Crew, first_error
from jumping_vpn.store.sqlite import SqliteStore
from jumping_vpn.system.settings import Endpoint
from support.clients import Memory, NotingReporter, NotingTunnel
from support.gateways import until

pytest.importorskip("jumping_vpn._native", reason="the extension is not built")

from jumping_vpn.dataplane.keys import (
    create_gateway_keys,
    load_client_keys,
    load_gateway_keys,
    write_client_config,
)
from jumping_vpn.dataplane.plane import ClientPlane, GatewayPlane

pytestmark = pytest.mark.native

PATIENCE_SECONDS = 20


def test_a_client_is_granted_a_session_that_the_store_holds(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        async with world.gateway() as gateway, world.client() as client:
            client.find("127.0.0.1")

            granted = await client.granted()

            (record,) = gateway.driver.records
            assert granted == record.session.session_id.hex()
            assert record.session.state is State.ATTACHED
            assert client.tunnel.notes == ["open_tunnel 10.77.0.2"]
            assert load(client.state_path) is not None

    run(tmp_path, scenario)


def test_a_session_jumps_when_its_path_goes_away(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        async with world.gateway() as gateway, world.client() as client:
            client.find("127.0.0.1")
            await client.granted()
            client.find("127.0.0.2")

            client.lose("127.0.0.1")
            jump = await client.sees(EventType.TRANSPORT_SWITCH)

            assert jump.binding_epoch == 2
            await gateway.reaches(State.ATTACHED, epoch=2)
            client.find("127.0.0.1")
            client.lose("127.0.0.2")
            await client.sees(EventType.TRANSPORT_SWITCH)
            await gateway.reaches(State.ATTACHED, epoch=3)

    run(tmp_path, scenario)


def test_a_person_moves_the_session_to_another_path(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        async with world.gateway() as gateway, world.client() as client:
            client.find("127.0.0.1")
            await client.granted()
            client.find("127.0.0.2")
            await client.sees(EventType.CANDIDATE_UP, Reason.CANDIDATE_ANSWERED)

            await client.driver.order(OperatorJump(transport=None))
            jump = await client.sees(EventType.TRANSPORT_SWITCH)

            assert jump.reason_code is Reason.OPERATOR_SWITCH
            await gateway.reaches(State.ATTACHED, epoch=2)
            await client.is_confirmed()

    run(tmp_path, scenario)


def test_a_session_survives_the_restart_of_the_gateway(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        async with world.client() as client:
            async with world.gateway():
                client.find("127.0.0.1")
                granted = await client.granted()

            async with world.gateway() as gateway:
                jump = await client.sees(EventType.TRANSPORT_SWITCH)

                assert jump.session_id == granted
                await gateway.reaches(State.ATTACHED, epoch=jump.binding_epoch or 0)

    run(tmp_path, scenario)


def test_a_session_survives_the_restart_of_the_client(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        async with world.gateway() as gateway:
            async with world.client() as client:
                client.find("127.0.0.1")
                granted = await client.granted()
                await client.driver.order(Stop())
                assert await client.running is None

            async with world.client() as client:
                client.find("127.0.0.1")
                jump = await client.sees(EventType.TRANSPORT_SWITCH)

                assert jump.session_id == granted
                await gateway.reaches(State.ATTACHED, epoch=2)

    run(tmp_path, scenario)


def test_a_session_that_is_over_is_erased_on_both_sides(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        async with world.gateway() as gateway, world.client() as client:
            client.find("127.0.0.1")
            await client.granted()

            await client.driver.order(GoDown())
            finish = await client.running

            assert finish is not None
            assert finish.outcome is Outcome.TERMINATED
            assert not gateway.driver.records
            assert load(client.state_path) is None

    run(tmp_path, scenario)


def test_strangers_get_silence(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        write_client(world.directory, allowed=False)
        async with world.gateway() as gateway, world.client(timeout_ms=500) as client:
            client.find("127.0.0.1")

            finish = await client.running

            assert finish is not None
            assert finish.outcome is Outcome.UNREACHABLE_OR_UNKNOWN
            assert not gateway.driver.records

    run(tmp_path, scenario)


@dataclass(kw_only=True)
class GatewaySite:
    """A gateway that serves on the loopback."""

    driver: GatewayDriver
    store: SqliteStore

    async def reaches(self, state: State, *, epoch: int) -> None:
        """Wait until the one session is in this state with this epoch."""
        async with self.store.watch() as changes:
            while not self._is(state, epoch):
                await anext(changes)
                await self.driver.quiet()

    def _is(self, state: State, epoch: int) -> bool:
        return any(
            record.session.state is state and record.session.epoch == epoch
            for record in self.driver.records
        )


@dataclass(kw_only=True)
class ClientSite:
    """A client whose finds are a test's."""

    driver: ClientDriver
    found: "asyncio.Queue[Discovery]"
    events: "asyncio.Queue[Event]"
    running: "asyncio.Task[Finish | None]"
    state_path: Path
    core: ClientCore
    tunnel: NotingTunnel
    world: "World"

    def find(self, address: str) -> None:
        self.found.put_nowait(
            CandidateAppeared(interface="lo", endpoint=f"{address}:{self.world.port}")
        )

    def lose(self, address: str) -> None:
        self.found.put_nowait(
            CandidateGone(
                interface="lo", endpoint=f"{address}:{self.world.port}", cause=Reason.LINK_DOWN
            )
        )

    async def granted(self) -> str:
        """Wait for the tunnel and return the session's id."""
        await self.tunnel.opened.wait()
        assert self.core.view is not None
        return self.core.view.session.session_id.hex()

    async def is_confirmed(self) -> None:
        """Wait until the client knows that the gateway has heard it under the binding."""
        await until(
            lambda: bool(
                self.core.view
                and self.core.view.session.binding
                and self.core.view.session.binding.confirmed
            )
        )

    async def sees(self, event_type: EventType, reason: Reason | None = None) -> Event:
        """Return the next event of this type, and for this reason if one is given."""
        while True:
            event = await self.events.get()
            if event.event_type is event_type and reason in {None, event.reason_code}:
                return event


class World:
    """One directory, one port, one key pair each."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.gateway_public = create_gateway_keys(directory)
        self.client_file = directory / "client.toml"
        descriptor = os.open(self.client_file, os.O_WRONLY | os.O_CREAT, 0o600)
        self.client_public = write_client_config(descriptor, 'private_key = "@PRIVATE_KEY@"\n')
        os.close(descriptor)
        write_client(directory, allowed=True, public=self.client_public)

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[GatewaySite]:
        store = await SqliteStore.open(self.directory / "sessions.db")
        config = GatewayConfig(endpoints=(Endpoint("127.0.0.1:4789"),))
        node = Node(config=config, policy=Policy(), incarnation=await store.start_node(1))
        keys = load_gateway_keys(self.directory)
        clients = Clients(self.directory)
        try:
            with GatewayPlane.create(
                keys, node=1, incarnation=node.incarnation, capacity=64
            ) as plane:
                self.port = plane.listen("0.0.0.0", self.port)  # noqa: S104  any 127.x
                plane.allow_clients(clients.publics)
                gateway = Gateway(node, clients=clients, store=store, plane=plane, clock=Clock())
                await gateway.hold_all(NotingReporter())
                async with Crew() as crew:
                    crew.hire("driver", gateway.driver.run())
                    yield GatewaySite(driver=gateway.driver, store=store)
        finally:
            await store.close()

    @asynccontextmanager
    async def client(self, *, timeout_ms: int = 10_000) -> AsyncIterator[ClientSite]:
        keys, _ = load_client_keys(self.client_file)
        clock, tunnel = Clock(), NotingTunnel([])
        path = self.directory / "session.state"
        found: asyncio.Queue[Discovery] = asyncio.Queue()
        core = ClientCore(
            ClientSettings(
                name="laptop",
                version="test",
                public_key=bytes(32),
                origin=Origin(node_id="laptop", reveal_addresses=True),
                requested=Policy(),
                handshake_timeout=Millis(timeout_ms),
            )
        )
        with ClientPlane.create(keys, gateway_public=self.gateway_public) as plane:
            async with keeping(path) as keeper, Crew() as crew:
                driver = ClientDriver(
                    core=core,
                    plane=plane,
                    orders=Orders(plane, mark=0),
                    tunnel=tunnel,
                    keeper=keeper,
                    clock=clock,
                    reporter=NotingReporter(),
                    events=Memory(),
                    history=History(now=clock.now()),
                    offer=lambda _: None,
                )
                with driver.watching() as events:
                    running = crew.hire("driver", driver.run(load(path), stream(found)))
                    yield ClientSite(
                        driver=driver,
                        found=found,
                        events=events,
                        running=running,
                        state_path=path,
                        core=core,
                        tunnel=tunnel,
                        world=self,
                    )


async def stream(found: "asyncio.Queue[Discovery]") -> AsyncIterator[Discovery]:
    while True:
        yield await found.get()


def run(directory: Path, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await scenario(World(directory))

    directory.chmod(0o700)
    with first_error():
        asyncio.run(within())


def write_client(directory: Path, *, allowed: bool, public: bytes = bytes(32)) -> None:
    (directory / "clients").mkdir(exist_ok=True)
    path = directory / "clients" / "laptop.toml"
    key = base64.b64encode(public).decode()
    path.write_text(f'public_key = "{key}"\nallowed = {str(allowed).lower()}\n')
    path.chmod(0o600)
