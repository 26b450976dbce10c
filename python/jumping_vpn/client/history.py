"""What a client has lived through in this run, as its own events tell."""

from dataclasses import dataclass

from jumping_vpn.core.event_data import AttemptData, MoveData
from jumping_vpn.core.events import Event, EventType
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.session.model import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """One jump, and what caused it."""

    at: Millis
    reason: str
    cause: str
    transport_before: str | None
    transport_after: str | None
    version: int
    epoch: int


class History:
    """Counts jumps, and remembers the newest one and since when the state has held."""

    def __init__(self, *, now: Millis) -> None:
        self.jumps = 0
        self.last: Jump | None = None
        self.in_state_since = now
        self._cause = ""
        self._transport: str | None = None

    def note(self, event: Event, transport: Transport | None, *, now: Millis) -> None:
        """Take an event in; `transport` is the one that carries the session after it.

        Events may hide addresses, and what a person asks on this machine need not.
        """
        data = event.data
        if isinstance(data, AttemptData):
            self._cause = data.cause
        if isinstance(data, MoveData) and data.state_before != data.state_after:
            self.in_state_since = now
        shown = None if transport is None else str(transport)
        if event.event_type is EventType.TRANSPORT_SWITCH:
            self.jumps += 1
            self.last = Jump(
                at=now,
                reason=event.reason_code,
                cause=self._cause,
                transport_before=self._transport,
                transport_after=shown,
                version=event.state_version or 0,
                epoch=event.binding_epoch or 0,
            )
            self._transport = shown
        elif self._transport is None and not isinstance(data, MoveData):
            self._transport = shown
