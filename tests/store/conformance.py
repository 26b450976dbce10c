"""What every store must do; each test is given a fresh, open store."""

import asyncio

import pytest
from msgspec import structs
from msgspec.structs import replace

from jumping_vpn.core.events import decode_event
from jumping_vpn.core.ids import Attempt, NodeId, SessionNumber
from jumping_vpn.core.ready import Save
from jumping_vpn.core.record import Record
from jumping_vpn.core.session.invariants import InvariantBroken
from jumping_vpn.store.contract import (
    Changed,
    Deleted,
    LeaseRefused,
    OwnershipConflict,
    SessionExists,
    SessionMissing,
    StaleVersion,
    Store,
    StoreUnavailable,
)
from support.saves import (
    WALL_MS,
    birth,
    end,
    jump,
    loss_and_return,
    observation,
    session_id,
    takeover,
    told,
)


async def created(store: Store, seed: int = 1) -> Record:
    """Create the session `seed` and return its record."""
    save = birth(seed)
    return replace(save.record, number=await store.create(save))


class Conformance:
    """The suite. A subclass gives the store with a fixture named `store`."""

    async def test_a_created_session_is_found_by_id_and_by_number(self, store: Store) -> None:
        record = await created(store)

        assert await store.get(session_id(1)) == record
        assert await store.get_by_number(record.number) == record
        assert await store.get(session_id(2)) is None
        assert await store.get_by_number(SessionNumber(record.number + 1)) is None

    async def test_a_number_is_never_issued_twice(self, store: Store) -> None:
        first = await created(store, 1)
        await store.delete(session_id(1))

        second = await created(store, 2)
        again = await created(store, 1)

        assert first.number < second.number < again.number

    async def test_a_session_id_is_never_replaced(self, store: Store) -> None:
        record = await created(store)

        with pytest.raises(SessionExists):
            await store.create(birth(1, owner=2))

        assert await store.get(session_id(1)) == record

    async def test_a_save_replaces_the_record_and_tells_its_moves(self, store: Store) -> None:
        record = await created(store)
        save = loss_and_return(record)

        await store.save(save)

        assert await store.get(session_id(1)) == save.record
        assert told(await store.events_after(1, 10)) == told(save.events)

    async def test_a_stale_version_is_refused_by_name_and_changes_nothing(
        self, store: Store
    ) -> None:
        record = await created(store)
        await store.save(jump(record))
        stored, events = await store.get(session_id(1)), await store.events_after(0, 10)

        with pytest.raises(StaleVersion) as refused:
            await store.save(jump(record))

        assert (refused.value.expected, refused.value.found) == (1, 2)
        assert await store.get(session_id(1)) == stored
        assert await store.events_after(0, 10) == events

    async def test_a_lost_ownership_is_refused_by_name(self, store: Store) -> None:
        record = await created(store)
        await store.save(takeover(record, owner=2))

        with pytest.raises(OwnershipConflict) as refused:
            await store.save(jump(record))

        assert (refused.value.expected, refused.value.found) == (1, 2)

    async def test_of_two_takeovers_one_wins(self, store: Store) -> None:
        record = await created(store)

        outcomes = await asyncio.gather(
            store.save(takeover(record, owner=2)),
            store.save(takeover(record, owner=3)),
            return_exceptions=True,
        )

        assert [type(each) for each in outcomes] == [type(None), OwnershipConflict]
        found = await store.get(session_id(1))
        assert found is not None
        assert found.session.owner == 2

    async def test_a_save_of_a_session_that_is_gone_is_refused(self, store: Store) -> None:
        record = await created(store)
        await store.delete(session_id(1))

        with pytest.raises(SessionMissing):
            await store.save(jump(record))

    async def test_one_refused_save_fails_no_other_of_its_group(self, store: Store) -> None:
        records = [await created(store, seed) for seed in range(1, 20)]
        await store.save(jump(records[7]))

        outcomes = await asyncio.gather(
            *(store.save(jump(each)) for each in records), return_exceptions=True
        )

        refused = [index for index, each in enumerate(outcomes) if each is not None]
        assert refused == [7]
        assert isinstance(outcomes[7], StaleVersion)

    async def test_saves_of_one_session_build_on_each_other_within_a_group(
        self, store: Store
    ) -> None:
        saves: list[Save] = []
        record = await created(store)
        for _ in range(10):
            saves.append(jump(record))
            record = saves[-1].record

        await asyncio.gather(*(store.save(each) for each in saves))

        assert await store.get(session_id(1)) == record
        versions = [each.state_version for each in await store.events_after(0, 100)]
        assert versions == list(range(1, 12))

    async def test_a_touch_changes_what_no_move_guards(self, store: Store) -> None:
        record = replace(await created(store), attempt_floor=Attempt(7))

        await store.touch(record)

        assert await store.get(session_id(1)) == record
        assert len(await store.events_after(0, 10)) == 1

    async def test_a_touch_of_a_session_that_moved_is_refused(self, store: Store) -> None:
        record = await created(store)
        await store.save(jump(record))

        with pytest.raises(StaleVersion):
            await store.touch(replace(record, attempt_floor=Attempt(7)))

    async def test_a_lazy_touch_is_seen_by_who_reads_the_session(self, store: Store) -> None:
        one = await created(store, 1)
        touched = replace(one, attempt_floor=Attempt(9))

        store.touch_lazily(replace(one, attempt_floor=Attempt(8)))
        store.touch_lazily(touched)

        assert await store.get(session_id(1)) == touched
        assert await store.get_by_number(touched.number) == touched
        assert await store.all_live() == (touched,)

    async def test_an_observation_is_told_before_the_save_that_follows(self, store: Store) -> None:
        record = await created(store)
        save = jump(record)

        store.append([observation(1)])
        await store.save(save)

        first, second = await store.events_after(1, 10)
        assert told([second]) == told(save.events)
        assert first.event_id == observation(1).event_id

    async def test_an_observation_does_not_go_with_a_save_that_is_refused(
        self, store: Store
    ) -> None:
        record = await created(store)
        await store.save(jump(record))

        store.append([observation(1)])
        with pytest.raises(StaleVersion):
            await store.save(jump(record))

        assert len(await store.events_after(0, 10)) == 3

    async def test_encoded_events_are_the_events(self, store: Store) -> None:
        record = await created(store)
        await store.save(jump(record))

        first, lines = await store.lines_after(1, 10)

        decoded = [replace(decode_event(line), node_seq=first) for line in lines]
        assert tuple(decoded) == await store.events_after(1, 10)
        assert not (await store.lines_after(2, 10))[1]

    async def test_a_lazy_touch_of_a_session_that_moved_is_forgotten(self, store: Store) -> None:
        record = await created(store)
        save = jump(record)
        await store.save(save)

        store.touch_lazily(replace(record, attempt_floor=Attempt(8)))
        await created(store, 2)

        assert await store.get(session_id(1)) == save.record

    async def test_a_deletion_tells_its_events_and_happens_once(self, store: Store) -> None:
        await created(store)

        assert await store.delete(session_id(1), [observation(1)])
        assert not await store.delete(session_id(1), [observation(2)])

        assert await store.get(session_id(1)) is None
        assert len(await store.events_after(0, 10)) == 2

    async def test_all_live_leaves_out_what_has_ended(self, store: Store) -> None:
        one, two, three = [await created(store, seed) for seed in (1, 2, 3)]

        await store.save(end(two))

        assert await store.all_live() == (one, three)

    async def test_expired_are_what_the_wall_clock_has_passed_and_what_has_ended(
        self, store: Store
    ) -> None:
        await store.create(birth(1, session_ends=5_000))
        await store.create(birth(2, session_ends=9_000))
        ended = await created(store, 3)
        await store.save(end(ended))

        assert await store.scan_expired(WALL_MS + 3_999) == (session_id(3),)
        assert await store.scan_expired(WALL_MS + 4_000) == (session_id(3), session_id(1))

    async def test_a_watcher_hears_of_each_change_in_order(self, store: Store) -> None:
        record = await created(store)

        async with store.watch() as changes:
            await store.save(jump(record))
            await store.delete(session_id(1))
            heard = [await anext(changes), await anext(changes)]

        assert heard == [
            Changed(
                session_id=session_id(1),
                number=record.number,
                version=jump(record).record.session.version,
                owner=record.session.owner,
                ownership_epoch=record.session.ownership_epoch,
            ),
            Deleted(session_id=session_id(1), number=record.number),
        ]

    async def test_each_start_of_a_node_has_a_larger_incarnation(self, store: Store) -> None:
        starts = [await store.start_node(NodeId(1)) for _ in range(3)]

        assert starts == [1, 2, 3]
        assert await store.start_node(NodeId(2)) == 1

    async def test_only_the_newest_incarnation_gets_a_lease(self, store: Store) -> None:
        old = await store.start_node(NodeId(1))
        await store.lease(NodeId(1), old, term_ms=1_000)
        new = await store.start_node(NodeId(1))

        with pytest.raises(LeaseRefused):
            await store.lease(NodeId(1), old, term_ms=1_000)
        await store.lease(NodeId(1), new, term_ms=1_000)

        assert [(each.node, each.incarnation) for each in await store.leases()] == [(1, new)]

    async def test_events_are_numbered_without_a_gap_in_the_order_of_commit(
        self, store: Store
    ) -> None:
        record = await created(store)
        store.append([observation(1)])
        await store.save(jump(record))
        store.append([observation(2)])
        newest = await store.wait_beyond(3)

        events = await store.events_after(0, 10)

        assert newest == store.newest_seq == 4
        assert [each.node_seq for each in events] == [1, 2, 3, 4]
        assert [each.state_version for each in events] == [1, None, 2, None]
        assert await store.events_after(2, 1) == events[2:3]

    async def test_what_every_exporter_has_is_pruned(self, store: Store) -> None:
        for seed in range(5):
            await created(store, seed)

        await store.acknowledge("one", 3, "three")
        await store.acknowledge("two", 2, "two")
        await store.acknowledge("one", 1, "an older one")

        assert await store.export_cursor("one") == (3, "three")
        assert await store.export_cursor("none") == (0, "")
        left = [each.node_seq for each in await store.events_after(0, 10)]
        assert left[-2:] == [4, 5]
        await store.acknowledge("two", 5, "five")
        await store.acknowledge("one", 5, "five")
        assert await store.events_after(0, 10) == ()
        await created(store, 9)
        assert [each.node_seq for each in await store.events_after(0, 10)] == [6]

    async def test_a_save_without_the_event_of_its_move_is_a_broken_program(
        self, store: Store
    ) -> None:
        record = await created(store)

        with pytest.raises(InvariantBroken):
            await store.save(structs.replace(jump(record), events=()))

        assert await store.get(session_id(1)) == record

    async def test_a_closed_store_refuses_everything(self, store: Store) -> None:
        record = await created(store)
        await store.close()

        with pytest.raises(StoreUnavailable):
            await store.save(jump(record))
        with pytest.raises(StoreUnavailable):
            await store.get(session_id(1))
        store.append([observation(1)])
