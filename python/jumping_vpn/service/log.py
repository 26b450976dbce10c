"""Events about the node itself, which belong to no session."""

from collections.abc import Sequence
from typing import Protocol

from jumping_vpn import __version__
from jumping_vpn.core.event_data import Data, NodeData, StoreData
from jumping_vpn.core.events import Event, EventType, Origin, Stamp, make_event
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.service.clock import Clock


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

    def started(self, *, sessions: int) -> None:
        """Note that the process began, with these live sessions."""
        self._write(EventType.NODE_STARTED, Reason.NODE_START, self._node(sessions))

    def stopped(self, *, sessions: int) -> None:
        """Note that the process ends in good order, with these live sessions."""
        self._write(EventType.NODE_STOPPED, Reason.NODE_STOP, self._node(sessions))

    def unreadable(self, *, what: str) -> None:
        """Note that a record cannot be read, and its session is lost."""
        data = StoreData(operation=what, count=1)
        self._write(EventType.STORE_UNAVAILABLE, Reason.STORE_UNAVAILABLE, data)

    def _node(self, sessions: int) -> NodeData:
        return NodeData(
            incarnation=self._incarnation, software=f"jumping-vpn {__version__}", sessions=sessions
        )

    def _write(self, event_type: EventType, reason: Reason, data: Data) -> None:
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
