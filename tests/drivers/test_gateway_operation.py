"""What an operator asks of a running gateway, over the real control socket and the real store."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from jumping_vpn.core.events import Event
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.gateway.config import GatewayConfig
from jumping_vpn.gateway.node import Gateway, Node
from jumping_vpn.gateway.operation import Clients
from jumping_vpn.gateway.status import Counters, Done, NodeStatus, Sessions
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.control import Declined, Request, ask, serving
from jumping_vpn.service.crew import Crew, first_error
from jumping_vpn.store.sqlite import SqliteStore
from jumping_vpn.system.settings import Endpoint
from support.gateways import CLIENT, NotingPlane, birth, session_id, until


def test_sessions_are_listed_as_they_stand(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await site.be_born(1)

        answer = await site.ask("sessions", Sessions)

        assert isinstance(answer, Sessions)
        (line,) = answer.sessions
        assert line.session_id == session_id(1).hex()
        assert (line.client, line.state, line.version) == ("laptop", "ATTACHED", 1)
        assert line.transport == "udp/wlan0/203.0.113.1:4789#1"
        assert line.addresses == ("10.77.0.2", "fd77:4a56:504e::2")

    run(tmp_path, scenario)


def test_the_status_counts_sessions_by_state(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await site.be_born(1)

        answer = await site.ask("status", NodeStatus)

        assert isinstance(answer, NodeStatus)
        assert (answer.node, answer.incarnation) == (1, 1)
        assert answer.by_state == {"ATTACHED": 1}

    run(tmp_path, scenario)


def test_the_work_of_the_driver_is_counted(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await site.be_born(1)

        answer = await site.ask("counters", Counters)

        assert isinstance(answer, Counters)
        assert answer.driver["saves"] == 1

    run(tmp_path, scenario)


def test_a_session_is_terminated_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await site.be_born(1)

        answer = await site.ask("terminate", Done, session_id(1).hex()[:31] + "1")

        assert isinstance(answer, Done)
        assert not site.gateway.driver.records
        assert "release" in site.plane.notes

    run(tmp_path, scenario)


def test_a_name_of_two_sessions_terminates_neither(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await site.be_born(1)
        await site.be_born(2)

        answer = await site.ask("terminate", Done, "laptop")

        assert isinstance(answer, Declined)
        assert answer.reason == "AMBIGUOUS"
        assert len(site.gateway.driver.records) == 2

    run(tmp_path, scenario)


def test_nobodys_name_terminates_nothing(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await site.be_born(1)

        for wanted in ("", "nobody", "ffff"):
            answer = await site.ask("terminate", Done, wanted)
            assert isinstance(answer, Declined)
            assert answer.reason == "NO_SUCH_SESSION"

        assert len(site.gateway.driver.records) == 1

    run(tmp_path, scenario)


def test_a_client_that_is_allowed_no_more_loses_its_session_at_a_reload(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await site.be_born(1)
        write_client(site.directory, allowed=False)

        answer = await site.ask("reload", Done)

        assert answer == Done(text="0 clients are allowed, 1 sessions ended")
        assert not site.gateway.driver.records

    run(tmp_path, scenario)


def test_a_malformed_client_file_changes_nothing(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        await site.be_born(1)
        (site.directory / "clients" / "laptop.toml").write_text("public_key = 7\n")

        answer = await site.ask("reload", Done)

        assert isinstance(answer, Declined)
        assert answer.reason == "CONFIG_REFUSED"
        assert "laptop.toml" in answer.text
        assert len(site.gateway.driver.records) == 1

    run(tmp_path, scenario)


def test_a_command_that_does_not_exist_is_declined(tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.ask("dance", Done)

        assert isinstance(answer, Declined)
        assert answer.reason == "UNKNOWN_COMMAND"

    run(tmp_path, scenario)


def test_a_restart_holds_the_sessions_of_the_store_with_their_addresses(tmp_path: Path) -> None:
    async def first(site: Site) -> None:
        await site.be_born(1)

    async def second(site: Site) -> None:
        await until(lambda: site.gateway.driver.tally.saves == 1)
        (record,) = site.gateway.driver.records
        assert record.session.state == "RECOVERING"
        await site.be_born(2)
        lines = await site.ask("sessions", Sessions)
        assert isinstance(lines, Sessions)
        assert [line.addresses[0] for line in lines.sessions] == ["10.77.0.2", "10.77.0.3"]

    run(tmp_path, first)
    run(tmp_path, second)


@dataclass(kw_only=True)
class Site:
    """A gateway with a control socket."""

    gateway: Gateway
    plane: NotingPlane
    directory: Path

    async def ask(
        self, command: str, result: type[msgspec.Struct], argument: str = ""
    ) -> msgspec.Struct | Declined:
        request = Request(command=command, argument=argument)
        path = self.directory / "control.sock"
        return await asyncio.to_thread(ask, path, request, result, seconds_max=10)

    async def be_born(self, seed: int) -> None:
        self.plane.queue.put_nowait(birth(seed))
        await until(lambda: (seed, "granted") in self.granted())

    def granted(self) -> set[tuple[int, str]]:
        return {
            (int.from_bytes(message.session_id, "big"), "granted")
            for _, message in self.plane.messages
        }


class Silent:
    """A reporter for tests that do not look at the terminal."""

    def happened(self, event: Event) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        raise AssertionError(text)


@asynccontextmanager
async def site(directory: Path) -> AsyncIterator[Site]:
    clock, plane = Clock(), NotingPlane([])
    store = await SqliteStore.open(directory / "sessions.db")
    config = GatewayConfig(endpoints=(Endpoint("203.0.113.1:4789"),))
    node = Node(config=config, policy=Policy(), incarnation=1)
    gateway = Gateway(node, clients=Clients(directory), store=store, plane=plane, clock=clock)
    await gateway.hold_all(Silent())
    try:
        async with (
            serving(directory / "control.sock", gateway.operation.answer),
            Crew() as crew,
        ):
            crew.hire("driver", gateway.driver.run())
            yield Site(gateway=gateway, plane=plane, directory=directory)
    finally:
        await store.close()


def run(directory: Path, scenario: Callable[[Site], Awaitable[None]]) -> None:
    async def within() -> None:
        async with site(directory) as built:
            await scenario(built)

    write_client(directory, allowed=True)
    with first_error():
        asyncio.run(within())


def write_client(directory: Path, *, allowed: bool) -> None:
    (directory / "clients").mkdir(exist_ok=True)
    path = directory / "clients" / "laptop.toml"
    key = base64.b64encode(CLIENT).decode()
    path.write_text(f'public_key = "{key}"\nallowed = {str(allowed).lower()}\n')
    path.chmod(0o600)
