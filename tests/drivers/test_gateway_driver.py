"""The gateway's driver: the order of effects, the order of facts, and what a failure stops."""

import asyncio
from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from jumping_vpn.core.commands import Terminate
from jumping_vpn.core.facts import ReattachRequested, SessionWanted
from jumping_vpn.core.record import Record
from jumping_vpn.core.session.model import State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import decode, encode
from jumping_vpn.gateway.driver import REQUESTS_MAX
from jumping_vpn.service.crew import first_error
from jumping_vpn.store.contract import OutcomeUnknown
from support.gateways import Bench, NotingStore, birth, request, running, until


def test_a_birth_is_sealed_then_saved_then_bound_then_granted() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.be_born(1)

        assert bench.take_notes() == ["seal_birth", "create", "adopt_birth", "grant"]

    run(scenario)


def test_a_jump_is_derived_then_saved_then_bound_then_answered() -> None:
    async def scenario(bench: Bench) -> None:
        record = await bench.be_born(1)
        bench.take_notes()

        await bench.give(request(record, token=7, attempt=1))

        assert bench.take_notes() == ["derive", "save", "bind", "respond"]
        assert isinstance(bench.plane.answers[7].payload, m.ReattachAck)

    run(scenario)


def test_what_is_in_memory_is_what_the_store_holds() -> None:
    async def scenario(bench: Bench) -> None:
        record = await bench.be_born(1)
        await bench.give(request(record, token=7, attempt=1))

        (held,) = bench.driver.records

        assert held.session.epoch == 2
        assert await bench.store.get_by_number(held.number) == held

    run(scenario)


def test_a_jump_that_cannot_be_saved_is_refused_and_binds_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        record = await bench.be_born(1)
        bench.take_notes()
        failing(bench).unavailable = True

        await bench.give(request(record, token=7, attempt=1))

        assert bench.take_notes() == ["derive", "respond"]
        answer = bench.plane.answers[7].payload
        assert isinstance(answer, m.ReattachReject)
        assert answer.reason == Reason.STORE_UNAVAILABLE
        (held,) = bench.driver.records
        assert held.session == record.session

    run(scenario)


def test_a_birth_that_cannot_be_saved_is_refused_and_keeps_no_address() -> None:
    async def scenario(bench: Bench) -> None:
        failing(bench).unavailable = True

        await bench.give(birth(1))

        assert bench.take_notes() == ["seal_birth", "reject_birth"]
        assert not bench.driver.records
        failing(bench).unavailable = False
        assert (await bench.be_born(2)).addresses == ("10.77.0.2",)

    run(scenario)


def test_a_jump_works_again_once_the_store_does() -> None:
    async def scenario(bench: Bench) -> None:
        record = await bench.be_born(1)
        failing(bench).unavailable = True
        await bench.give(request(record, token=7, attempt=1))
        failing(bench).unavailable = False

        await bench.give(request(record, token=8, attempt=2))

        assert isinstance(bench.plane.answers[8].payload, m.ReattachAck)

    run(scenario)


def test_a_floor_that_may_be_durable_is_not_taken_back() -> None:
    class Forgetful(NotingStore):
        def __init__(self) -> None:
            super().__init__([])

        async def touch(self, record: Record) -> None:
            await super().touch(record)
            raise OutcomeUnknown("the answer was lost")

    async def scenario(bench: Bench) -> None:
        record = await bench.be_born(1)
        await bench.give(stale(request(record, token=7, attempt=5)))
        await bench.driver.order(record.number, Terminate(reason=Reason.OPERATOR_REQUEST))

        stored = await bench.store.get_by_number(record.number)
        assert stored is not None
        assert stored.session.state is State.TERMINATED
        assert stored.attempt_floor == 5

    run(scenario, Forgetful)


def test_a_record_that_changed_behind_our_back_is_read_again() -> None:
    async def scenario(bench: Bench) -> None:
        record = await bench.be_born(1)
        await bench.give(request(record, token=7, attempt=1))
        bench.driver._records[record.number] = record

        (stale,) = bench.driver.records
        await bench.give(request(stale, token=8, attempt=2))

        (held,) = bench.driver.records
        assert bench.driver.tally.saves_conflicting == 1
        assert held.session.epoch == 3
        assert await bench.store.get_by_number(held.number) == held

    run(scenario)


def test_requests_of_one_session_are_decided_one_after_the_other() -> None:
    async def scenario(bench: Bench) -> None:
        record = await bench.be_born(1)
        bench.take_notes()

        await bench.give(request(record, token=7, attempt=1), request(record, token=8, attempt=2))

        assert bench.take_notes() == [
            *("derive", "save", "bind", "respond"),
            *("derive", "save", "bind", "respond"),
        ]
        assert failing(bench).most_under_way == 1

    run(scenario)


def test_requests_of_many_sessions_wait_for_the_store_together() -> None:
    async def scenario(bench: Bench) -> None:
        records = [await bench.be_born(seed) for seed in range(1, 51)]

        failing(bench).gate.clear()

        for each in records:
            bench.plane.queue.put_nowait(request(each, token=each.number, attempt=1))
        await until(lambda: failing(bench).under_way == 50)
        failing(bench).gate.set()
        await bench.driver.quiet()

        assert {record.session.epoch for record in bench.driver.records} == {2}

    run(scenario)


def test_requests_beyond_the_bound_are_forgotten_and_counted() -> None:
    async def scenario(bench: Bench) -> None:
        record = await bench.be_born(1)
        bench.take_notes()
        failing(bench).gate.clear()
        too_many = 5
        flood = [
            request(record, token=token, attempt=1) for token in range(REQUESTS_MAX + too_many)
        ]

        for each in flood:
            bench.plane.queue.put_nowait(each)
        await until(lambda: bench.driver.tally.requests_forgotten == too_many)
        failing(bench).gate.set()
        await bench.driver.quiet()

        assert bench.driver.tally.requests_forgotten == too_many
        assert bench.take_notes().count("bind") == 1

    run(scenario)


def test_an_order_that_names_what_is_gone_is_counted_and_changes_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        record = await bench.be_born(1)
        bench.take_notes()
        bench.plane.lost_tokens.add(7)

        await bench.give(request(record, token=7, attempt=1))

        assert bench.take_notes() == []
        assert bench.driver.tally.orders_failed == 1
        (held,) = bench.driver.records
        assert held == record

    run(scenario)


def test_a_session_that_nobody_knows_is_declared_gone() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.give(SessionWanted(token=9, number=4711, source="198.51.100.7:5000"))

        assert bench.take_notes() == ["session_gone"]

    run(scenario)


def test_an_operators_end_is_saved_then_performed_and_the_address_is_free() -> None:
    async def scenario(bench: Bench) -> None:
        record = await bench.be_born(1)
        bench.take_notes()

        await bench.driver.order(record.number, Terminate(reason=Reason.OPERATOR_REQUEST))

        assert bench.take_notes() == ["save", "send_message", "release"]
        assert not bench.driver.records
        assert (await bench.be_born(2)).addresses == record.addresses

    run(scenario)


def test_an_end_that_cannot_be_saved_leaves_the_session_in_place() -> None:
    async def scenario(bench: Bench) -> None:
        record = await bench.be_born(1)
        bench.take_notes()
        failing(bench).unavailable = True

        await bench.driver.order(record.number, Terminate(reason=Reason.OPERATOR_REQUEST))

        assert bench.take_notes() == []
        assert [each.session.session_id for each in bench.driver.records] == [
            record.session.session_id
        ]

    run(scenario)


def test_after_a_restart_every_session_is_held_and_written_as_recovering() -> None:
    async def scenario() -> None:
        notes: list[str] = []
        store = NotingStore(notes)
        async with running(store, notes=notes) as before:
            for seed in range(1, 101):
                await before.be_born(seed)
        notes.clear()

        async with running(store, notes=notes) as after:
            await until(lambda: after.driver.tally.saves == 100)
            await after.driver.quiet()

            assert notes == ["install"] * 100 + ["save"] * 100
            states = {record.session.state for record in after.driver.records}
            assert states == {State.RECOVERING}

    with first_error():
        asyncio.run(scenario())


def test_a_request_after_a_restart_commits_the_loss_and_the_jump_in_one_write() -> None:
    async def scenario() -> None:
        notes: list[str] = []
        store = NotingStore(notes)
        async with running(store, notes=notes) as before:
            record = await before.be_born(1)
        notes.clear()

        async with running(store, notes=notes) as after:
            after.plane.queue.put_nowait(request(record, token=7, attempt=1))
            await after.give()
            await until(lambda: 7 in after.plane.answers)
            (held,) = after.driver.records

        assert held.session.state is State.ATTACHED
        assert held.session.version == record.session.version + 2

    with first_error():
        asyncio.run(scenario())


def failing(bench: Bench) -> NotingStore:
    assert isinstance(bench.store, NotingStore)
    return bench.store


def stale(fact: ReattachRequested) -> ReattachRequested:
    """Return the request as if it had been made an hour ago."""
    message = decode(fact.message)
    return replace(fact, message=encode(replace(message, ts_ms=message.ts_ms - 3_600_000)))


def run(
    scenario: Callable[[Bench], Awaitable[None]],
    store: Callable[[], NotingStore] | None = None,
) -> None:
    async def within() -> None:
        async with running(None if store is None else store()) as bench:
            await scenario(bench)

    with first_error():
        asyncio.run(within())
