"""Worlds in virtual time: the same each time, at rest in the end, and smaller where they fail."""

import asyncio
from itertools import product
from pathlib import Path

import pytest
from msgspec.structs import replace

from jumping_vpn.core.ids import Millis
from jumping_vpn.sim.virtual.calendar import US_PER_SECOND, Calendar
from jumping_vpn.sim.virtual.clock import HostClock
from jumping_vpn.sim.virtual.deeds import DEEDS, End, nothing
from jumping_vpn.sim.virtual.loop import VirtualLoop
from jumping_vpn.sim.virtual.network import Way
from jumping_vpn.sim.virtual.observer import Wire
from jumping_vpn.sim.virtual.scenario import Fault, Kind, Scenario, scenario_of
from jumping_vpn.sim.virtual.shrink import shrunk
from jumping_vpn.sim.virtual.world import BURST, Report, World, play

pytestmark = pytest.mark.native

DATA = b"\x04"
LOSSLESS = (
    *(Kind.JUMP, Kind.LINK_DOWN, Kind.UNREACHABLE, Kind.HOLE, Kind.HOLE_UP, Kind.HOLE_DOWN),
    *(Kind.BLACKOUT, Kind.DUPLICATES, Kind.REPLAY, Kind.ACKS_LOST, Kind.STORE_SLOW),
    *(Kind.STORE_FULL, Kind.STORE_UNREACHABLE, Kind.STATE_DISK_SLOW, Kind.CLIENT_CLOCK_STEP),
)
"""What ends no process and loses nothing on a path that lives; for longer than detection takes."""


@pytest.mark.parametrize("seed", [1, 2, 3, 5, 8])
def test_a_seed_is_the_same_world_each_time_and_comes_to_rest(seed: int) -> None:
    first, again = play(scenario_of(seed)), play(scenario_of(seed))

    assert first.digest == again.digest
    assert first.findings == []


def test_a_story_changes_nothing() -> None:
    silent, told = play(scenario_of(4)), play(scenario_of(4), telling=True)

    assert told.digest == silent.digest
    assert told.story
    assert not silent.story


def test_another_seed_is_another_world() -> None:
    assert play(scenario_of(1)).digest != play(scenario_of(2)).digest


def test_every_kind_of_fault_can_be_done() -> None:
    assert set(DEEDS) == set(Kind)


def test_a_move_that_was_not_saved_is_never_told_to_the_client() -> None:
    """Once a refused write's moves were told all the same, and the session ended as ambiguous."""
    hole = Fault(at_ms=14_562, for_ms=4_000, kind=Kind.HOLE_UP, client=1, interface="wwan0")
    store = Fault(at_ms=14_420, for_ms=4_000, kind=Kind.STORE_UNREACHABLE)

    report = play(replace(scenario_of(71), faults=(store, hole)))

    assert report.findings == []


@pytest.mark.parametrize("seed", [4, 6, 15])
def test_nothing_moves_a_session_to_which_nothing_happens(seed: int) -> None:
    """Once a client's data plane kept to the defaults instead of the policy that was granted."""
    report = play(replace(scenario_of(seed), faults=(), span_ms=40_000))

    assert report.findings == []


def test_what_does_not_come_to_rest_is_told() -> None:
    endless = Fault(at_ms=5_000, for_ms=500, kind=Kind.BLACKOUT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DEEDS, Kind.BLACKOUT, blackout_that_never_ends)
        report = play(replace(scenario_of(3), faults=(endless,)))

    assert any("client 0" in finding for finding in report.findings)


def blackout_that_never_ends(world: World, fault: Fault) -> End:
    for line in world.network.lines.values():
        if line.owner == fault.client:
            line.weather.blocked.update(Way)
    return nothing


def test_a_failure_is_shrunk_to_the_faults_that_it_needs() -> None:
    needed = {Kind.SUSPEND, Kind.TERMINATE}
    kinds = (Kind.LOSS, Kind.SUSPEND, Kind.HOLE, Kind.JUMP, Kind.TERMINATE, Kind.SLOW)
    faults = tuple(Fault(at_ms=at, for_ms=1, kind=kind) for at, kind in enumerate(kinds))

    def run(scenario: Scenario) -> Report:
        fails = needed <= {fault.kind for fault in scenario.faults}
        findings = [f"at {len(scenario.faults)} ms: broken"] if fails else []
        return Report(scenario=scenario, findings=findings)

    smallest = shrunk(run(replace(scenario_of(1), faults=faults)), run=run)

    assert {fault.kind for fault in smallest.scenario.faults} == needed


def test_a_timer_of_the_loop_waits_for_the_world() -> None:
    calendar, woken = Calendar(), []
    clock = HostClock(calendar, began_us=7_000_000, fast_ppm=200, wall_ms=0)
    loop = VirtualLoop(clock.loop_seconds, Undisturbed())

    async def sleep() -> None:
        await asyncio.sleep(1)  # paces: the world's time, not ours
        woken.append(calendar.now)

    task = loop.create_task(sleep())
    loop.run_ready()
    calendar.run(clock.world_at_boot(clock.boot_at_loop(loop.next_at() or 0)))
    loop.run_ready()
    loop.close()

    assert task.done()
    assert woken == [pytest.approx(US_PER_SECOND / 1.0002, abs=1)]


def test_a_clock_of_the_loop_stands_still_in_suspend_and_boottime_does_not() -> None:
    calendar = Calendar()
    clock = HostClock(calendar, began_us=0, fast_ppm=0, wall_ms=0)

    calendar.run(3 * US_PER_SECOND)
    clock.sleep_through(2 * US_PER_SECOND)

    assert clock.loop_seconds() == 1
    assert clock.boot_us() == 3 * US_PER_SECOND
    assert clock.world_at_boot(clock.boot_at_loop(1.5)) == 3_500_000


@pytest.mark.parametrize("seed", [5, 6, 20, 98, 99, 120, 191])
def test_nothing_is_lost_across_jumps_and_deaths(seed: int, tmp_path: Path) -> None:
    drawn = scenario_of(seed)
    policy = replace(drawn.policy, retain_time=Millis(1_000), degraded_max=Millis(0))
    faults = tuple(each for each in drawn.faults if each.kind in LOSSLESS and each.for_ms >= 1_500)
    world = World(replace(drawn, policy=policy, faults=faults), directory=tmp_path)

    assert world.run().findings == []

    for client, way in product(range(drawn.clients), Way):
        under_way = world.sent_so_far(client, way) - 2 * BURST
        lost = [each for each in range(1, under_way) if not world.wire.delivered[client, way, each]]
        assert (client, way, lost) == (client, way, [])


def test_faults_that_overlap_end_one_by_one() -> None:
    spans = ((1_000, 9_000), (2_000, 1_500), (3_000, 4_000))
    faults = tuple(Fault(at_ms=at, for_ms=span, kind=Kind.STORE_FULL) for at, span in spans)

    assert play(replace(scenario_of(3), faults=faults)).findings == []


def test_one_nonce_for_two_packets_is_seen_on_the_wire() -> None:
    broken: list[str] = []
    wire = Wire(broken.append)

    wire.sent("a", "b", packet(index=1, counter=5, body=b"one"))
    wire.sent("a", "b", packet(index=1, counter=5, body=b"one"))
    assert broken == []
    wire.sent("a", "b", packet(index=1, counter=5, body=b"two"))

    assert len(broken) == 1


def test_a_binding_that_was_left_may_not_send_again() -> None:
    broken: list[str] = []
    wire = Wire(broken.append)

    for index in (1, 1, 2, 2):
        wire.sends("client 0", packet(index=index, counter=5, body=b""))
    assert broken == []
    wire.sends("client 0", packet(index=1, counter=6, body=b""))

    assert len(broken) == 1


class Undisturbed:
    """A disk that nobody gives work to."""

    def perform(self, work: object, done: object) -> None:
        raise AssertionError(f"nobody works: {work} for {done}")


def packet(*, index: int, counter: int, body: bytes) -> bytes:
    return DATA + index.to_bytes(7, "big") + counter.to_bytes(8, "big") + body
