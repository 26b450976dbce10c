"""What the demo found: a row for each fault, what holds at the end, and the report of both."""

from dataclasses import dataclass
from typing import Any

from jumping_vpn.lab.faults import Fault
from jumping_vpn.lab.probe import EchoWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRow:
    """What one fault did; `gap_ms` is none where no echo ever came back."""

    fault: str
    cause: str
    source: str
    target: str
    versions: str
    detect_ms: float | None
    gap_ms: float | None
    lost: int
    duplicated: int
    counted_lost: int
    survived: bool

    def report(self) -> dict[str, Any]:
        """Return the row under the report's field names."""
        return {
            "fault": self.fault,
            "cause": self.cause,
            "from": self.source,
            "to": self.target,
            "versions": self.versions,
            "detect_ms": self.detect_ms,
            "gap_ms": self.gap_ms,
            "lost": self.lost,
            "duplicated": self.duplicated,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The rows, and what holds at the end."""

    session_id: str | None
    same_session: bool
    connections: int
    sha256_ok: bool
    events: int
    violations: int
    rows: tuple[FaultRow, ...]

    def report(self) -> dict[str, Any]:
        """Return what goes into report.json."""
        return {
            "session_id": self.session_id,
            "tcp": {"connections": self.connections, "sha256_ok": self.sha256_ok},
            "audit": {"violations": self.violations},
            "faults": [row.report() for row in self.rows],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """What both ends wrote down since a fault began, by the wall clock."""

    gateway: list[dict[str, Any]]
    client: list[dict[str, Any]]
    since_ms: float


def row_of(
    fault: Fault, window: EchoWindow, logs: Logs, *, gap_ms: float | None, survived: bool
) -> FaultRow:
    """Return the row of a fault from what was measured and what was logged."""
    jumps = [event for event in logs.gateway if event["event_type"] == "TRANSPORT_SWITCH"]
    versions = [
        event["state_version"] for event in logs.gateway if event["state_version"] is not None
    ]
    asked = [event["ts_ms"] for event in logs.client if event["event_type"] == "REATTACH_ATTEMPT"]
    handovers = [jump["data"]["handover"] for jump in jumps if jump["data"]["handover"]]
    first = handovers[0] if handovers else None
    return FaultRow(
        fault=fault.name,
        cause=first["cause"] if first else "-",
        source=_short(first["left"]) if first else "-",
        target=_short(jumps[-1]["data"]["transport_after"]) if jumps else "-",
        versions=f"{min(versions) - 1}-{max(versions)}" if versions else "-",
        detect_ms=round(asked[0] - logs.since_ms, 1) if asked else None,
        gap_ms=None if gap_ms is None else round(gap_ms, 1),
        lost=window.lost,
        duplicated=window.duplicated,
        counted_lost=sum(_counted(handover) for handover in handovers),
        survived=survived,
    )


def _counted(handover: dict[str, Any]) -> int:
    names = ("given_up_up", "given_up_down", "in_doubt_up", "in_doubt_down")
    return sum(int(handover[name]) for name in names)


def _short(transport: str | None) -> str:
    return "/".join(transport.split("/")[:2]) if transport else "-"
