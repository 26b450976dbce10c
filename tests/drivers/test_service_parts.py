"""Alarms, locks, announcements and the book of inner addresses."""

import asyncio
from pathlib import Path

import pytest

from jumping_vpn.core.ids import Millis, SessionId
from jumping_vpn.gateway.addresses import AddressBook
from jumping_vpn.service.alarms import COMPACT_FROM, Alarms
from jumping_vpn.service.announce import announced, found
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.control import Declined, Request, serving
from jumping_vpn.service.crew import Crew
from jumping_vpn.service.fence import AHEAD_US, keep_fence
from jumping_vpn.service.lock import AlreadyRunning, locked
from jumping_vpn.system.settings import Subnet


def test_keys_are_woken_in_the_order_of_their_times() -> None:
    alarms = Alarms()
    alarms.set(1, Millis(30))
    alarms.set(2, Millis(10))
    alarms.set(3, Millis(20))

    assert alarms.due(now=Millis(25)) == [2, 3]
    assert alarms.due(now=Millis(30)) == [1]


def test_the_newest_wish_of_a_key_wins() -> None:
    alarms = Alarms()
    alarms.set(1, Millis(10))
    alarms.set(1, Millis(20))
    alarms.set(2, Millis(10))
    alarms.set(2, None)

    assert alarms.due(now=Millis(15)) == []
    assert alarms.due(now=Millis(20)) == [1]


def test_each_wish_wakes_once() -> None:
    alarms = Alarms()
    alarms.set(1, Millis(10))

    assert alarms.due(now=Millis(10)) == [1]
    assert alarms.due(now=Millis(99)) == []


def test_wishes_that_were_replaced_take_no_room_for_long() -> None:
    alarms = Alarms()
    for at in range(10 * COMPACT_FROM):
        alarms.set(1, Millis(at))

    assert len(alarms) == 1
    assert len(alarms._heap) <= COMPACT_FROM + 2
    assert alarms.due(now=Millis(10 * COMPACT_FROM)) == [1]


def test_an_earlier_wish_wakes_the_sleeper() -> None:
    async def run() -> int:
        clock, alarms = Clock(), Alarms()
        rung: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def ring(key: int) -> None:
            rung.set_result(key)

        async with Crew() as crew:
            crew.hire("alarms", alarms.run(clock, ring))
            await asyncio.sleep(0)
            alarms.set(7, clock.now())
            return await rung

    assert asyncio.run(run()) == 7


def test_the_fence_is_extended_beyond_its_next_extension() -> None:
    extended: list[int] = []

    class Fenced:
        def extend_fence(self, until_us: int) -> None:
            extended.append(until_us)

    async def run() -> int:
        clock = Clock()
        async with Crew() as crew:
            crew.hire("fence", keep_fence(Fenced(), clock))
            await asyncio.sleep(0)
        return clock.now_us()

    now = asyncio.run(run())

    assert len(extended) == 1
    assert now < extended[0] <= now + AHEAD_US


def test_a_directory_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "lock"),
        pytest.raises(AlreadyRunning, match="is held by process"),
        locked(tmp_path / "lock"),
    ):
        pass

    with locked(tmp_path / "lock"):
        pass


def test_a_running_service_is_found_by_its_role_and_no_longer_than_it_runs(tmp_path: Path) -> None:
    control = tmp_path / "state" / "control.sock"
    control.parent.mkdir()
    run_directory = tmp_path / "run"

    async def decline(request: Request) -> Declined:
        return Declined(reason="NO", text=request.command)

    async def run() -> tuple[Path, ...]:
        async with serving(control, decline):
            with announced("client", "laptop", control, run=run_directory):
                assert found("gateway", run=run_directory) == ()
                return found("client", run=run_directory)

    assert asyncio.run(run()) == (control,)
    assert found("client", run=run_directory) == ()


def test_a_session_keeps_its_addresses_and_a_released_one_is_used_again() -> None:
    book = AddressBook((Subnet("10.0.0.0/29"),))
    first, second, third = SessionId(b"1"), SessionId(b"2"), SessionId(b"3")

    assert book.allocate(first) == ("10.0.0.2",)
    assert book.allocate(second) == ("10.0.0.3",)
    assert book.allocate(first) == ("10.0.0.2",)
    book.release(first)
    assert book.allocate(third) == ("10.0.0.2",)


def test_addresses_from_the_store_are_taken() -> None:
    book = AddressBook((Subnet("10.0.0.0/29"),))
    book.hold(SessionId(b"1"), ("10.0.0.2",))

    assert book.allocate(SessionId(b"2")) == ("10.0.0.3",)
