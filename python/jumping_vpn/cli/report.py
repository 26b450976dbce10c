"""What a person at the terminal sees of a running service: a line per change, or JSON lines.

Lines are written by a thread of their own, from a bounded queue: a terminal that is held (Ctrl-S)
or a pipe that nobody reads costs lines, never the session.
"""

import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final, TextIO

import click
import msgspec

from jumping_vpn.core import event_data as d
from jumping_vpn.core.events import Event, Severity, decode_event

LINES_MAX: Final = 1024
EVENTS_PER_SECOND_MAX: Final = 50
"""What a person is shown; a busy gateway has thousands, and the log has them all."""
CLOSING_SECONDS_MAX: Final = 2.0
COLOURS: Final = {Severity.WARNING: "yellow", Severity.ERROR: "red"}
STATE_COLOURS: Final = {
    "ATTACHED": "green",
    "VOLATILE": "yellow",
    "RECOVERING": "yellow",
    "DEGRADED": "yellow",
    "TERMINATED": "red",
}


class _Time(msgspec.Struct):
    ts_ms: int


_TIME: Final = msgspec.json.Decoder(_Time)


class Terminal:
    """A `Reporter` for people; with `as_json` for programs: then the output is events only."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._lines: queue.Queue[tuple[TextIO, str] | None] = queue.Queue(LINES_MAX)
        self._second = 0
        self._events = 0
        self.lost = 0

    def happened(self, event: Event) -> None:
        """Show an event; of many in one second a person is shown the first, and the number."""
        if self._as_json:
            self._put(sys.stdout, msgspec.json.encode(event).decode())
            return
        if self._has_room(event.ts_ms):
            self._put(sys.stdout, line_of(event))

    def logged(self, line: bytes) -> None:
        """Show an event as it stands in the log; for a person only what is shown is decoded."""
        if self._as_json:
            self._put(sys.stdout, line.decode())
        elif self._has_room(_TIME.decode(line).ts_ms):
            self._put(sys.stdout, line_of(decode_event(line)))

    def say(self, text: str) -> None:
        """Show where the service stands."""
        self._put(sys.stderr if self._as_json else sys.stdout, text)

    def warn(self, text: str) -> None:
        """Show what went wrong on this machine."""
        self._put(sys.stderr, click.style(f"jvpn: {text}", fg="yellow"))

    def write(self) -> None:
        """Write the lines as they come, until the last."""
        while (line := self._lines.get()) is not None:
            file, text = line
            try:
                click.echo(text, file=file)
            except (OSError, ValueError):
                self.lost += 1

    def finish(self) -> None:
        """Say that no more lines come; `write` returns after those that wait."""
        self._sum_up()
        try:
            self._lines.put(None, timeout=CLOSING_SECONDS_MAX)
        except queue.Full:
            return

    def _has_room(self, ts_ms: int) -> bool:
        """Count an event; say whether it is one of the first of its second."""
        if (second := ts_ms // 1000) != self._second:
            self._sum_up()
            self._second, self._events = second, 0
        self._events += 1
        return self._events <= EVENTS_PER_SECOND_MAX

    def _sum_up(self) -> None:
        more = self._events - EVENTS_PER_SECOND_MAX
        if more > 0:
            self._put(sys.stdout, f"({more} more events in that second; the log has them)")

    def _put(self, file: TextIO, text: str) -> None:
        try:
            if self.lost:
                note = f"({self.lost} lines were not shown: the output was not read)"
                self._lines.put_nowait((sys.stderr, note))
                self.lost = 0
            self._lines.put_nowait((file, text))
        except queue.Full:
            self.lost += 1


@contextmanager
def terminal(*, as_json: bool) -> Iterator[Terminal]:
    """Show lines for as long as the context lasts; what waits at its end is still shown."""
    shown = Terminal(as_json=as_json)
    writer = threading.Thread(target=shown.write, name="terminal", daemon=True)
    writer.start()
    try:
        yield shown
    finally:
        shown.finish()
        writer.join(CLOSING_SECONDS_MAX)


def line_of(event: Event) -> str:
    """Return an event as one line: when, what it means for the session, why."""
    at = datetime.fromtimestamp(event.ts_ms / 1000, UTC).astimezone()
    what = _what(event.data)
    if not what.endswith(event.reason_code):
        what = f"{what}  {event.reason_code}".strip()
    name = _name(event)
    version = f"v{event.state_version}" if event.state_version is not None else ""
    session = f"{event.session_id[:8]}" if event.session_id else ""
    return f"{at:%H:%M:%S}.{event.ts_ms % 1000:03d}  {session:<8}  {version:<5}  {name}  {what}"


def _name(event: Event) -> str:
    if isinstance(event.data, d.MoveData):
        state = event.data.state_after
        return click.style(f"{state:<18}", fg=STATE_COLOURS.get(state), bold=True)
    colour = COLOURS.get(event.severity)
    return click.style(f"{event.event_type:<18}", fg=colour, dim=colour is None)


def _what(data: d.Data) -> str:  # noqa: C901, PLR0911  a row per kind of event
    match data:
        case d.SwitchData(transport_before=before, transport_after=after, handover=handover):
            return f"{before or _left(handover)} -> {after}{_cost(handover)}"
        case d.MoveData(transport_before=before, transport_after=after):
            return str(after or before or "")
        case d.CandidateData(transport=transport, srtt_us=srtt):
            return f"{transport}{_milliseconds(srtt)}"
        case d.AttemptData(attempt=attempt, chosen=chosen):
            return f"attempt {attempt} over {', '.join(chosen)}"
        case d.SuccessData(transport=transport, waited_ms=waited):
            return f"{transport} confirmed after {waited} ms"
        case d.RejectData(retry_after_ms=wait):
            return f"again in {wait} ms" if wait else ""
        case d.NodeData(sessions=count, software=software):
            return f"{software}, {count} sessions"
        case d.SecurityData(what=what, count=count) | d.DroppedData(what=what, count=count):
            return f"{what} x{count}"
        case d.RateData(limit=limit, count=count):
            return f"{limit} x{count}"
        case d.StoreData(operation=operation, count=count):
            return f"{operation} x{count}"
        case d.RefusedData(input=given, state=state):
            return f"{given} in {state}"
    return ""


def _left(handover: d.Handover | None) -> str:
    return str(handover.left or "") if handover else ""


def _cost(handover: d.Handover | None) -> str:
    if handover is None:
        return ""
    given_up = handover.given_up_up + handover.given_up_down
    in_doubt = handover.in_doubt_up + handover.in_doubt_down
    costs = {"given up": given_up, "in doubt": in_doubt}
    told = [f"{count} {what}" for what, count in costs.items() if count]
    return "  " + ", ".join((handover.cause, *told))


def _milliseconds(microseconds: int) -> str:
    return f"  {microseconds / 1000:.1f} ms" if microseconds else ""
