"""Events about the node itself, which belong to no session.

What strangers cause is summed up: at most a few events in any window, whatever they send.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from jumping_vpn import __version__
from jumping_vpn.core.event_data import (
    Data,
    DroppedData,
    FenceData,
    NodeData,
    RateData,
    SecurityData,
    StoreData,
)
from jumping_vpn.core.events import Event, EventType, Origin, Stamp, make_event
from jumping_vpn.core.facts import FactsDropped, FenceClosed, ForgeriesCounted
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.redaction import Shown
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.service.clock import Clock

SUMMARY_WINDOW: Final = Millis(10_000)
SUMMARIES_MAX: Final = 16


class Outbox(Protocol):
    """Where events go; it neither waits nor fails."""

    def append(self, events: Sequence[Event]) -> None:
        """Take the events."""


class NodeLog:
    """Writes what happens to a node's process."""

    def __init__(self, outbox: Outbox, origin: Origin, clock: Clock, *, incarnation: int) -> None:
        self._outbox = outbox
        self._origin = origin
        self._clock = clock
        self._incarnation = incarnation
        self._window_ends = Millis(0)
        self._told: set[tuple[str, str]] = set()
        self._untold: dict[str, ForgeriesCounted] = {}
        self._store_failures = 0
        self._store_told_again = Millis(0)

    def started(self, *, sessions: int) -> None:
        """Note that the process began, with these live sessions."""
        self.announce(EventType.NODE_STARTED, Reason.NODE_START, self._node(sessions))

    def stopped(self, *, sessions: int) -> None:
        """Note that the process ends in good order, with these live sessions."""
        self.announce(EventType.NODE_STOPPED, Reason.NODE_STOP, self._node(sessions))

    def store_failed(self, operation: str) -> None:
        """Note that the store could not do its work; told once in each window, with the count."""
        now = self._clock.now()
        self._store_failures += 1
        if now < self._store_told_again:
            return
        data = StoreData(operation=operation, count=self._store_failures)
        self.announce(EventType.STORE_UNAVAILABLE, Reason.STORE_UNAVAILABLE, data)
        self._store_failures = 0
        self._store_told_again = Millis(now + SUMMARY_WINDOW)

    def hear(self, fact: ForgeriesCounted | FactsDropped | FenceClosed) -> None:
        """Note what the data plane reports about the node."""
        match fact:
            case ForgeriesCounted():
                self._sum_up(fact)
            case FactsDropped():
                data = DroppedData(what="facts", first=0, last=0, count=fact.count)
                self.announce(EventType.EVENTS_DROPPED, Reason.QUEUE_OVERFLOW, data)
            case FenceClosed():
                fence = FenceData(since_us=fact.since_us)
                self.announce(EventType.NODE_FENCED, Reason.FENCE_EXPIRED, fence)

    def _sum_up(self, fact: ForgeriesCounted) -> None:
        """Tell of each source once in a window, and of the rest as a sum in the next one."""
        now = self._clock.now()
        if now >= self._window_ends:
            self._window_ends = Millis(now + SUMMARY_WINDOW)
            self._told.clear()
            untold, self._untold = self._untold, {}
            earlier = untold.get(fact.what)
            if earlier is not None and earlier.source_prefix == fact.source_prefix:
                fact = _together(untold.pop(fact.what), fact)
            for what in sorted(untold):
                self._tell_of(untold[what])
        if (fact.what, fact.source_prefix) in self._told or len(self._told) >= SUMMARIES_MAX:
            sum_of = self._untold.get(fact.what)
            self._untold[fact.what] = fact if sum_of is None else _together(sum_of, fact)
        else:
            self._tell_of(fact)

    def _tell_of(self, fact: ForgeriesCounted) -> None:
        self._told.add((fact.what, fact.source_prefix))
        self._write_forgeries(fact.what, fact.source_prefix, fact.count)

    def _write_forgeries(self, what: str, prefix: str, count: int) -> None:
        source = Shown(prefix) if prefix else None  # a prefix hides the address already
        if "rate" in what:
            limit = RateData(limit=what, source=source, count=count)
            self.announce(EventType.RATE_LIMIT_TRIGGER, Reason.RATE_LIMITED, limit)
        else:
            forged = SecurityData(what=what, source=source, count=count)
            self.announce(EventType.SECURITY_EVENT, Reason.PROOF_INVALID, forged)

    def _node(self, sessions: int) -> NodeData:
        return NodeData(
            incarnation=self._incarnation, software=f"jumping-vpn {__version__}", sessions=sessions
        )

    def announce(self, event_type: EventType, reason: Reason, data: Data) -> None:
        """Append an event about the node."""
        event = make_event(
            event_type,
            reason,
            data,
            origin=self._origin,
            stamp=Stamp(wall_ms=self._clock.wall_ms(), entropy=self._clock.entropy(8)),
            session=None,
            policy=None,
        )
        self._outbox.append((event,))


def _together(one: ForgeriesCounted, other: ForgeriesCounted) -> ForgeriesCounted:
    """Return the sum of two of one kind; it names the source if both have the same."""
    prefix = one.source_prefix if one.source_prefix == other.source_prefix else ""
    return replace(other, source_prefix=prefix, count=one.count + other.count)
