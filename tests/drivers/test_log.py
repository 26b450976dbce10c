"""Events about the node: bounded, whatever strangers send."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from jumping_vpn.core.event_data import RateData, SecurityData
from jumping_vpn.core.events import Event, EventType, Origin
from jumping_vpn.core.facts import FactsDropped, FenceClosed, ForgeriesCounted
from jumping_vpn.core.ids import Millis
from jumping_vpn.observe.buffer import EventBuffer
from jumping_vpn.observe.chain import START
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.export import exporting
from jumping_vpn.service.log import SUMMARIES_MAX, SUMMARY_WINDOW, NodeLog
from support.gateways import until


def test_a_flood_of_forgeries_costs_a_few_events_and_loses_no_count() -> None:
    clock, outbox, log = a_log()

    for each in range(1000):
        log.hear(forged(f"10.0.{each % 250}.0/24"))
    clock.time = Millis(clock.time + SUMMARY_WINDOW)
    log.hear(forged("10.1.0.0/24"))

    assert len(outbox.events) == SUMMARIES_MAX + 2
    assert sum(count_of(event) for event in outbox.events) == 1001


def test_a_source_that_goes_on_is_told_once_in_a_window_by_its_name() -> None:
    clock, outbox, log = a_log()

    for _ in range(30):
        log.hear(forged("10.0.0.0/24"))
        clock.time = Millis(clock.time + SUMMARY_WINDOW // 10)

    assert [count_of(event) for event in outbox.events] == [1, 10, 10]
    assert {str(source_of(event)) for event in outbox.events} == {"10.0.0.0/24"}


def test_what_a_limit_refused_is_no_security_event() -> None:
    _, outbox, log = a_log()

    log.hear(ForgeriesCounted(what="rate_limited", source_prefix="10.0.0.0/24", count=7))

    assert [event.event_type for event in outbox.events] == [EventType.RATE_LIMIT_TRIGGER]
    assert isinstance(outbox.events[0].data, RateData)


def test_a_closed_fence_and_dropped_facts_are_told() -> None:
    _, outbox, log = a_log()

    log.hear(FenceClosed(since_us=5))
    log.hear(FactsDropped(count=3))

    assert [event.event_type for event in outbox.events] == [
        EventType.NODE_FENCED,
        EventType.EVENTS_DROPPED,
    ]


def test_a_failing_store_is_told_once_in_a_window_with_its_count() -> None:
    clock, outbox, log = a_log()

    for _ in range(5):
        log.store_failed("save")
    clock.time = Millis(clock.time + SUMMARY_WINDOW)
    log.store_failed("save")

    assert [event.data.count for event in outbox.events] == [1, 5]  # type: ignore[union-attr]


class Frozen(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.time = Millis(1_000_000)

    def now(self) -> Millis:
        return self.time


class Outbox:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, events: Sequence[Event]) -> None:
        self.events.extend(events)


def a_log() -> tuple[Frozen, Outbox, NodeLog]:
    clock, outbox = Frozen(), Outbox()
    origin = Origin(node_id="1", reveal_addresses=False)
    return clock, outbox, NodeLog(outbox, origin, clock, incarnation=1)


def forged(prefix: str) -> ForgeriesCounted:
    return ForgeriesCounted(what="forged", source_prefix=prefix, count=1)


def count_of(event: Event) -> int:
    assert isinstance(event.data, SecurityData)
    return event.data.count


def source_of(event: Event) -> object:
    assert isinstance(event.data, SecurityData)
    return event.data.source


def test_news_at_the_moment_of_the_stop_does_not_keep_the_export_alive(tmp_path: Path) -> None:
    async def run() -> bool:
        clock = Clock()
        buffer = EventBuffer(START)
        log = NodeLog(buffer, Origin(node_id="1", reveal_addresses=False), clock, incarnation=1)
        async with exporting(buffer, tmp_path / "events.jsonl", log) as exporter:
            log.started(sessions=0)
            await until(lambda: exporter.status.exported == 1)
            for _ in range(10):
                await asyncio.sleep(0)
            log.stopped(sessions=0)
        return exporter.status.exported == 2

    async def within() -> bool:
        async with asyncio.timeout(10):
            return await run()

    assert asyncio.run(within())
