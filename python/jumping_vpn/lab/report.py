"""What the demo found: a row for each fault, what holds at the end, and the report of both."""

from dataclasses import dataclass
from typing import Any

from jumping_vpn.lab.account import Account
from jumping_vpn.lab.faults import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRow:
    """What one fault did; `gap_ms` is none where no echo ever came back.

    Lost and duplicated are inner packets, all there were, as they were seen at both ends.
    """

    fault: str
    cause: str
    source: str
    target: str
    versions: str
    detect_ms: float | None
    gap_ms: float | None
    account: Account
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
            "lost": self.account.lost,
            "duplicated": self.account.duplicated,
            **self.account.report(),
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

    def handovers(self) -> list[dict[str, Any]]:
        """Return what the gateway told about each jump that it granted."""
        told = (event["data"].get("handover") for event in self.gateway)
        return [handover for handover in told if handover]


def row_of(
    fault: Fault, account: Account, logs: Logs, *, gap_ms: float | None, survived: bool
) -> FaultRow:
    """Return the row of a fault from what was measured and what was logged."""
    jumps = [event for event in logs.gateway if event["event_type"] == "TRANSPORT_SWITCH"]
    versions = [
        event["state_version"] for event in logs.gateway if event["state_version"] is not None
    ]
    asked = [event["ts_ms"] for event in logs.client if event["event_type"] == "REATTACH_ATTEMPT"]
    first = next(iter(logs.handovers()), None)
    return FaultRow(
        fault=fault.name,
        cause=first["cause"] if first else "-",
        source=_short(first["left"]) if first else "-",
        target=_short(jumps[-1]["data"]["transport_after"]) if jumps else "-",
        versions=f"{min(versions) - 1}-{max(versions)}" if versions else "-",
        detect_ms=round(asked[0] - logs.since_ms, 1) if asked else None,
        gap_ms=None if gap_ms is None else round(gap_ms, 1),
        account=account,
        survived=survived,
    )


def _short(transport: str | None) -> str:
    return "/".join(transport.split("/")[:2]) if transport else "-"
