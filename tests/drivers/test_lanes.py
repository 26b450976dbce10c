"""Lanes keep each session's order and let different sessions overlap."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from jumping_vpn.gateway.lanes import Lanes
from jumping_vpn.service.crew import Crew, first_error


def test_items_of_one_key_are_served_one_after_the_other() -> None:
    served: list[str] = []

    async def work(_: int, item: str) -> None:
        served.append(f"{item} begins")
        await asyncio.sleep(0)
        served.append(f"{item} ends")

    run(work, workers=4, items=[(1, "a"), (1, "b")])

    assert served == ["a begins", "a ends", "b begins", "b ends"]


def test_items_of_different_keys_overlap_up_to_the_number_of_workers() -> None:
    under_way = 0
    most = 0

    async def work(_: int, __: str) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    run(work, workers=3, items=[(key, "x") for key in range(10)])

    assert most == 3


def test_a_busy_key_does_not_starve_a_quiet_one() -> None:
    served: list[int] = []

    async def work(key: int, _: str) -> None:
        served.append(key)

    run(work, workers=1, items=[(1, "x")] * 5 + [(2, "x")])

    assert served.index(2) == 1


def test_there_is_no_room_while_as_many_wait_as_are_allowed() -> None:
    async def scenario() -> tuple[bool, bool]:
        gate = asyncio.Event()

        async def work(_: int, __: str) -> None:
            await gate.wait()

        lanes = Lanes(work, workers=1, waiting_max=2)
        async with Crew() as crew:
            crew.hire("lanes", lanes.run())
            lanes.add(1, "a")
            lanes.add(2, "b")
            waiting = asyncio.create_task(lanes.room())
            await asyncio.sleep(0)
            before = waiting.done()
            gate.set()
            await waiting
            await lanes.idle()
        return before, waiting.done()

    assert asyncio.run(scenario()) == (False, True)


def test_a_failing_item_ends_the_lanes_with_its_error() -> None:
    async def work(_: int, __: str) -> None:
        raise LookupError("broken program")

    with pytest.raises(LookupError, match="broken program"), first_error():
        run(work, workers=2, items=[(1, "a")])


def run(
    work: Callable[[int, str], Awaitable[None]], *, workers: int, items: list[tuple[int, str]]
) -> None:
    async def scenario() -> None:
        lanes = Lanes(work, workers=workers, waiting_max=100)
        for key, item in items:
            lanes.add(key, item)
        async with Crew() as crew:
            crew.hire("lanes", lanes.run())
            await lanes.idle()
            await asyncio.sleep(0)

    asyncio.run(scenario())
