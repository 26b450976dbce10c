"""How the demo speaks: a live line in a terminal, a line per jump, and a table at the end."""

import time
from collections.abc import Sequence
from typing import IO, Any, Final

from jumping_vpn.client.status import ClientStatus
from jumping_vpn.lab.faults import Fault
from jumping_vpn.lab.probe import Download, EchoStream
from jumping_vpn.lab.report import FaultRow, Outcome

COLUMNS: Final = (
    "fault",
    "cause",
    "from",
    "to",
    "versions",
    "detect",
    "gap",
    "lost",
    "counted",
    "dup",
    "echoes",
)
"""Lost, counted by the events and duplicated are inner packets; then the echoes among the lost."""
WIDTHS: Final = (18, 18, 11, 11, 8, 7, 7, 5, 7, 4, 6)


class Screen:
    """Writes the demo's progress to a stream."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._begun = time.monotonic()

    def say(self, text: str) -> None:
        """Write a line with the seconds since the start."""
        self._clear()
        self._line(f"{time.monotonic() - self._begun:6.1f}s  {text}")

    def status(self, status: ClientStatus | None, download: Download, echo: EchoStream) -> None:
        """Show where the session is, in place; nothing when piped."""
        if not self._live:
            return
        silence = (time.monotonic_ns() - echo.last_arrival()) / 1e6
        state = f"{status.state:<10} {status.transport or '-'}" if status else "no answer"
        done = 100 * download.received / download.size
        self._clear()
        self._stream.write(
            f"        {state}  download {download.rate_mbit():5.1f} Mbit/s {done:3.0f} %"
            f"  last echo {silence:4.0f} ms ago"
        )
        self._stream.flush()

    def event(self, event: dict[str, Any]) -> None:
        """Write a line for each jump and each other change of the session."""
        if event["event_type"] not in ("TRANSPORT_SWITCH", "STATE_CHANGE"):
            return
        data = event["data"]
        self.say(
            f"  v{event['state_version']:<3} {data['state_before']} -> {data['state_after']}  "
            f"{event['reason_code']}  {data['transport_before'] or '-'} -> "
            f"{data['transport_after'] or '-'}"
        )

    def row(self, row: FaultRow) -> None:
        """Sum a fault up in one line."""
        self.say(
            f"  = {row.cause}: detected {_ms(row.detect_ms)}, gap {_ms(row.gap_ms)}, "
            f"{row.account.lost} lost, {row.account.duplicated} duplicated"
        )

    def verdict(self, outcome: Outcome, faults: Sequence[Fault]) -> int:
        """Write the table and what holds at the end; return 0 when every goal is met."""
        self._clear()
        self._line("")
        self._line(_aligned(COLUMNS))
        for row in outcome.rows:
            self._line(_aligned(_cells(row)))
        self._line("")
        for row in outcome.rows:
            for text in row.account.sentences():
                self._line(f"      {row.fault}: {text}")
        promises = _promises(outcome)
        misses = [
            text
            for fault, row in zip(faults, outcome.rows, strict=True)
            for text in _misses(fault, row)
        ]
        for text, holds in promises.items():
            self._line(f"{'ok  ' if holds else 'FAIL'}  {text}")
        for miss in misses:
            self._line(f"MISS  {miss}")
        return 0 if all(promises.values()) and not misses else 1

    def _line(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[2K")


def _cells(row: FaultRow) -> tuple[str, ...]:
    account = row.account
    counted = f"{account.counted}{' + ?' if account.is_open else ''}"
    packets = (account.lost, counted, account.duplicated, account.echo.lost)
    figures = (_ms(row.detect_ms), _ms(row.gap_ms), *packets)
    names = (row.fault, row.cause, row.source, row.target, row.versions)
    return (*names, *(str(figure) for figure in figures))


def _aligned(cells: Sequence[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _promises(outcome: Outcome) -> dict[str, bool]:
    return {
        f"the same session throughout: {outcome.session_id}": outcome.same_session,
        f"one TCP connection ({outcome.connections})": outcome.connections == 1,
        "SHA-256 of the download is right": outcome.sha256_ok,
        f"audit of {outcome.events} events is clean": not outcome.violations,
        "observers at both ends, the probe and the events agree on what was lost": not any(
            row.account.disagreements() for row in outcome.rows
        ),
    }


def _misses(fault: Fault, row: FaultRow) -> list[str]:
    misses = []
    if not row.survived:
        misses.append(f"{fault.name}: the session did not survive")
    if row.gap_ms is None:
        misses.append(f"{fault.name}: no echo came back")
    elif row.gap_ms > fault.gap_ms_max:
        misses.append(
            f"{fault.name}: gap {row.gap_ms} ms, wanted at most {fault.gap_ms_max:.0f} ms"
        )
    account = row.account
    if account.duplicated or account.echo.duplicated:
        misses.append(f"{fault.name}: {account.duplicated} packets arrived twice")
    if fault.lossless and account.lost > account.counted:
        misses.append(f"{fault.name}: {account.lost} lost, {account.counted} given up by count")
    return misses + [f"{fault.name}: {text}" for text in account.disagreements()]
