"""`make demo`: one session, one TCP connection, seven faults, and the figures of each.

Run as `python -m jumping_vpn.lab.demo [--output DIR]`. The report goes to DIR/report.json, the
audit log of the gateway to DIR/events.jsonl.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jumping_vpn.lab import topology
from jumping_vpn.lab.account import Observers
from jumping_vpn.lab.faults import FAULTS, Fault
from jumping_vpn.lab.namespaces import LabRefused, interrupt_on_every_signal, laboratory
from jumping_vpn.lab.probe import NS_PER_MS, Download, EchoStream, EchoWindow
from jumping_vpn.lab.product import EventTail, wait_for
from jumping_vpn.lab.report import FaultRow, Logs, Outcome, row_of
from jumping_vpn.lab.screen import Screen
from jumping_vpn.lab.stage import ATTACH_SECONDS_MAX, Stage, open_stage
from jumping_vpn.lab.tap import Tap
from jumping_vpn.observe.audit import verify

RATE: Final = 2_500_000
SECONDS: Final = 48
BEFORE_NS: Final = 200 * NS_PER_MS


@dataclass(slots=True)
class Demo:
    """A demo under way."""

    stage: Stage
    observers: Observers
    echo: EchoStream
    download: Download
    gateway_log: EventTail
    client_log: EventTail
    screen: Screen

    def run(self, fault: Fault) -> FaultRow:
        """Inject a fault, let the session settle, heal the network, and measure."""
        self.gateway_log.read()
        self.client_log.read()
        before_jumps = len(self.gateway_log.seen)
        before_attempts = len(self.client_log.seen)
        self.screen.say(f"fault: {fault.name}")
        wall_ms, mono_ns = time.time() * 1e3, time.monotonic_ns()
        injected = fault.inject(self.stage)
        self.watch(fault.settle_s)
        injected.heal()
        status = self.stage.client.wait_attached(answering=2, seconds_max=ATTACH_SECONDS_MAX)
        self._settle()
        self.gateway_log.read()
        self.client_log.read()
        start_ns, end_ns = mono_ns - BEFORE_NS, time.monotonic_ns() - BEFORE_NS
        window = self.echo.window(start_ns, end_ns)
        logs = Logs(
            gateway=self.gateway_log.seen[before_jumps:],
            client=self.client_log.seen[before_attempts:],
            since_ms=wall_ms,
        )
        account = self.observers.account(
            logs.handovers(), window, start_ns=start_ns, since_ns=mono_ns, end_ns=end_ns
        )
        row = row_of(
            fault,
            account,
            logs,
            gap_ms=self._gap(fault, injected.since_ns, window),
            survived=status.state == "ATTACHED",
        )
        self.screen.row(row)
        return row

    def _settle(self) -> None:
        """Wait for an echo that is sent from now on: what was held back goes before it."""
        since_ns = time.monotonic_ns()
        wait_for(
            "an echo",
            lambda: self.echo.window(since_ns, time.monotonic_ns()).arrived(),
            seconds_max=ATTACH_SECONDS_MAX,
        )

    def _gap(self, fault: Fault, since_ns: int, window: EchoWindow) -> float | None:
        """Return the longest silence, or the time since the return of what was away."""
        if fault.gap_since_return:
            first = self.echo.first_arrival_after(since_ns)
            return (first - since_ns) / NS_PER_MS if first is not None else None
        return window.gap_ms

    def watch(self, seconds: float) -> None:
        """Show what happens for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.screen.status(self.stage.client.status(), self.download, self.echo)
            for event in self.gateway_log.read():
                self.screen.event(event)
            time.sleep(0.1)


def run(output: Path) -> int:
    """Build the lab, run every fault, write the report; return the exit code."""
    work = output / "run"
    shutil.rmtree(work, ignore_errors=True)
    screen = Screen(sys.stdout)
    with laboratory("jvd") as lab:
        screen.say("building the lab: client with two paths, two NAT routers, gateway, LAN")
        stage = open_stage(lab, work)
        client, gateway, built = stage.client, stage.gateway, stage.topology
        first = client.wait_attached(answering=2, seconds_max=ATTACH_SECONDS_MAX)
        screen.say(f"session {first.session_id} attached over {first.transport}")
        demo = Demo(
            stage=stage,
            observers=Observers(
                client=Tap.start(built.client, topology.LAN_SERVER, work / "client.tap"),
                gateway=Tap.start(built.gateway, topology.LAN_SERVER, work / "gateway.tap"),
            ),
            echo=EchoStream.start(built.client, built.server, topology.LAN_SERVER),
            download=Download.start(
                built.client, built.server, topology.LAN_SERVER, size=RATE * SECONDS, rate=RATE
            ),
            gateway_log=EventTail(gateway.events),
            client_log=EventTail(client.events),
            screen=screen,
        )
        demo.watch(2.0)
        rows = [demo.run(fault) for fault in FAULTS]
        _finish_download(demo)
        last = client.status()
        outcome = _outcome(demo, rows, first.session_id, last.session_id if last else None)
        lab.close()
    shutil.copy(gateway.events, output / "events.jsonl")
    report = json.dumps(outcome.report(), indent=2, allow_nan=False)
    (output / "report.json").write_text(f"{report}\n", encoding="utf-8")
    return screen.verdict(outcome, FAULTS)


def _finish_download(demo: Demo) -> None:
    deadline = time.monotonic() + SECONDS
    while demo.download.sha256 is None and time.monotonic() < deadline:
        demo.watch(0.5)


def _outcome(demo: Demo, rows: list[FaultRow], first: str | None, last: str | None) -> Outcome:
    audit = verify(demo.stage.gateway.events)
    return Outcome(
        session_id=last,
        same_session=first is not None and first == last,
        connections=demo.download.connections(),
        sha256_ok=demo.download.is_correct(),
        events=audit.events,
        violations=audit.violations,
        rows=tuple(rows),
    )


def main() -> int:
    """Parse the arguments and run; Ctrl-C leaves nothing behind."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/demo"))
    arguments = parser.parse_args()
    interrupt_on_every_signal()
    try:
        return run(arguments.output)
    except LabRefused as refused:
        sys.stderr.write(f"demo: {refused}\n")
        return 5 if "root" in str(refused) else 1
    except KeyboardInterrupt:
        sys.stderr.write("\ndemo: interrupted; everything it made is gone\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
