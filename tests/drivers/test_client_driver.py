"""The client's driver: one input after the other, durable before it shows, kept across restarts."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from jumping_vpn.core.commands import CandidateAppeared, CandidateGone, GoDown, Stop
from jumping_vpn.core.facts import SessionGone
from jumping_vpn.core.ready import Outcome
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.service.crew import first_error
from jumping_vpn.service.files import FileRefused
from support.clients import Bench, acceptance, running
from support.gateways import ENDPOINT, session_id

LTE = CandidateAppeared(interface="wwan0", endpoint=ENDPOINT)
WLAN_GONE = CandidateGone(interface="wlan0", endpoint=None, cause=Reason.LINK_DOWN)


def test_a_session_is_durable_before_its_tunnel_opens(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.be_born()

        notes = bench.take_notes()
        assert notes[:3] == ["open_path 1", "start_handshake 1", "send HandshakeInit"]
        assert notes.index("seal_root") < notes.index("keep 1")
        assert notes.index("keep 1") < notes.index("open_tunnel 10.77.0.2")
        assert bench.state is not None
        assert bench.state.session_id == session_id(1)

    run(tmp_path, scenario)


def test_the_endpoints_that_a_gateway_names_are_told_to_discovery_once(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.be_born()
        await bench.give(LTE)

        assert bench.offered == [(ENDPOINT,)]

    run(tmp_path, scenario)


def test_a_new_root_is_durable_before_it_is_used(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.be_born()
        await bench.give(LTE, WLAN_GONE)
        bench.take_notes()

        await bench.give(acceptance(bench, token=7, path=2))

        notes = bench.take_notes()
        assert notes.index("adopt") < notes.index("keep 2") < notes.index("activate")
        assert bench.state is not None
        assert (bench.state.epoch, bench.state.root) == (2, b"root 2")

    run(tmp_path, scenario)


def test_the_history_tells_where_a_jump_came_from(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.be_born()
        await bench.give(LTE, WLAN_GONE)

        await bench.give(acceptance(bench, token=7, path=2))

        last = bench.history.last
        assert last is not None
        assert last.transport_before == f"udp/wlan0/{ENDPOINT}#1"
        assert last.transport_after == f"udp/wwan0/{ENDPOINT}#2"
        assert last.cause == "LINK_DOWN"

    run(tmp_path, scenario)


def test_a_full_disk_does_not_end_the_session_but_leaves_no_old_state(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.be_born()
        await bench.give(LTE, WLAN_GONE)
        bench.take_notes()
        bench.keeper.full = True

        await bench.give(acceptance(bench, token=7, path=2))

        notes = bench.take_notes()
        assert notes.index("erase state") < notes.index("activate")
        assert bench.state is None
        assert bench.driver.tally.states_unkept == 1
        assert "will not survive a restart" in bench.reporter.warnings[-1]

    run(tmp_path, scenario)


def test_an_answer_whose_request_is_gone_changes_nothing(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.be_born()
        await bench.give(LTE, WLAN_GONE)
        bench.take_notes()
        bench.plane.lost_tokens.add(7)

        await bench.give(acceptance(bench, token=7, path=2))

        assert "activate" not in bench.take_notes()
        assert bench.driver.tally.orders_failed == 1
        assert bench.state is not None
        assert bench.state.epoch == 1

    run(tmp_path, scenario)


def test_a_path_that_cannot_be_opened_is_a_candidate_that_went(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.plane.unopenable.add("wwan0")
        await bench.be_born()

        await bench.give(LTE)

        assert [str(each.transport) for each in bench.core.candidates] == [
            f"udp/wlan0/{ENDPOINT}#1"
        ]
        assert "wwan0" in bench.reporter.warnings[-1]

    run(tmp_path, scenario)


def test_a_stop_keeps_the_session_and_the_next_run_continues_it(tmp_path: Path) -> None:
    async def first(bench: Bench) -> None:
        await bench.be_born()
        bench.found.put_nowait(Stop())
        assert await bench.running is None

    async def second(bench: Bench) -> None:
        notes = bench.take_notes()
        assert notes[:2] == ["restore 1 root of the birth", "open_tunnel 10.77.0.2"]

        await bench.give(LTE)

        assert "request" in bench.take_notes()
        assert not any(isinstance(note, str) and "handshake" in note for note in bench.notes)

    run(tmp_path, first)
    run(tmp_path, second)


def test_attempts_of_a_run_that_was_killed_are_never_used_again(tmp_path: Path) -> None:
    used: list[int] = []

    async def first(bench: Bench) -> None:
        await bench.be_born()
        await bench.give(LTE, WLAN_GONE)
        used.extend(attempt for attempt, _ in bench.plane.requests)
        bench.running.cancel()

    async def second(bench: Bench) -> None:
        await bench.give(LTE)
        used.extend(attempt for attempt, _ in bench.plane.requests)

    run(tmp_path, first)
    run(tmp_path, second)

    assert len(used) >= 2
    assert sorted(set(used)) == used


def test_an_end_by_the_person_erases_the_state(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.be_born()
        await bench.give(WLAN_GONE)
        bench.take_notes()

        bench.found.put_nowait(GoDown())
        finish = await bench.running

        assert finish is not None
        assert finish.outcome is Outcome.TERMINATED
        assert await bench.driver.finished() == finish
        assert bench.state is None
        notes = bench.take_notes()
        assert notes.index("erase state") < notes.index("erase")

    run(tmp_path, scenario)


def test_a_session_that_the_gateway_declares_gone_is_erased(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.be_born()

        bench.plane.queue.put_nowait(SessionGone())
        finish = await bench.running

        assert finish is not None
        assert finish.outcome is Outcome.TERMINATED
        assert bench.state is None

    run(tmp_path, scenario)


def test_a_state_that_others_can_read_is_refused_before_anything_happens(tmp_path: Path) -> None:
    async def first(bench: Bench) -> None:
        await bench.be_born()

    async def second(_: Bench) -> None:
        raise AssertionError

    run(tmp_path, first)
    (tmp_path / "session.state").chmod(0o644)

    with pytest.raises(FileRefused, match="chmod 600"):
        run(tmp_path, second)


def test_every_event_reaches_the_log_and_those_who_watch(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        with bench.driver.watching() as watched:
            await bench.be_born()

            seen = [watched.get_nowait() for _ in range(watched.qsize())]

        assert seen
        assert seen == bench.events.events[-len(seen) :]

    run(tmp_path, scenario)


def run(directory: Path, scenario: Callable[[Bench], Awaitable[None]]) -> None:
    async def within() -> None:
        async with running(directory) as bench:
            await scenario(bench)

    with first_error():
        asyncio.run(within())
