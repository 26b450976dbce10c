"""`make soak MINUTES=30`: the echo stream on lossy, jittery paths, where nothing should happen.

Run as `python -m jumping_vpn.lab.endure --minutes M [--loss P] [--delay-ms D] [--jitter-ms J]`.
No binding may be declared dead and no jump made, because no path dies. What the links lose is
lost in the tunnel too; what is lost beyond that is the product's.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from jumping_vpn.lab import topology
from jumping_vpn.lab.link import LinkSettings
from jumping_vpn.lab.namespaces import LabRefused, interrupt_on_every_signal, laboratory
from jumping_vpn.lab.probe import EchoStream, EchoWindow
from jumping_vpn.lab.product import EventTail, rss_kib
from jumping_vpn.lab.stage import ATTACH_SECONDS_MAX, Stage, open_stage
from jumping_vpn.lab.topology import CABLE, WIFI
from jumping_vpn.observe.audit import verify

DEVIATIONS_MAX: Final = 5.0
TAIL_NS: Final = 1_000_000_000
TOLD_EVERY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endured:
    """What happened; `lost_unexplained` is what chance on the links does not account for."""

    minutes: float
    loss: float
    delay_ms: float
    jitter_ms: float
    session_id: str | None
    same_session: bool
    false_deaths: int
    jumps: int
    attempts: int
    state_changes: dict[str, int]
    sent: int
    lost: int
    lost_expected: int
    lost_unexplained: int
    duplicated: int
    gap_ms: float
    frames_lost_by_links: int
    gateway_rss_kib: tuple[int, int]
    client_rss_kib: tuple[int, int]
    audit_violations: int

    def held(self) -> bool:
        """Say whether nothing happened that should not."""
        return self.same_session and not (
            self.false_deaths
            or self.jumps
            or self.duplicated
            or self.lost_unexplained
            or self.audit_violations
        )


def endure(work: Path, *, minutes: float, link: LinkSettings) -> Endured:
    """Run the stream for this long on two such paths, and say what happened."""
    wifi, cable = replace(link, seed=WIFI.link.seed), replace(link, seed=CABLE.link.seed)
    plans = (replace(WIFI, link=wifi), replace(CABLE, link=cable))
    with laboratory("jve") as lab:
        stage = open_stage(lab, work, plans=plans)
        first = stage.client.wait_attached(answering=2, seconds_max=ATTACH_SECONDS_MAX)
        gateway_log, client_log = EventTail(stage.gateway.events), EventTail(stage.client.events)
        gateway_log.read()
        client_log.read()
        born, asked = len(gateway_log.seen), len(client_log.seen)
        memory = _memory(stage)
        echo = EchoStream.start(stage.topology.client, stage.topology.server, topology.LAN_SERVER)
        start_ns = time.monotonic_ns()
        _watch(gateway_log, minutes)
        window = echo.window(start_ns, time.monotonic_ns() - TAIL_NS)
        client_log.read()
        gateway_log.read()
        last = stage.client.status()
        gateway_rss, client_rss = zip(memory, _memory(stage), strict=True)
        violations = verify(stage.gateway.events).violations
        lost_by_links = sum(path.link.close()["lost"] for path in stage.topology.paths)
    moves = gateway_log.seen[born:]
    return Endured(
        minutes=minutes,
        loss=link.loss,
        delay_ms=link.delay_us / 1e3,
        jitter_ms=link.jitter_us / 1e3,
        session_id=last.session_id if last else None,
        same_session=last is not None and last.session_id == first.session_id,
        false_deaths=sum(event["data"].get("state_after") == "RECOVERING" for event in moves),
        jumps=sum(event["event_type"] == "TRANSPORT_SWITCH" for event in moves),
        attempts=sum(
            event["event_type"] == "REATTACH_ATTEMPT" for event in client_log.seen[asked:]
        ),
        state_changes=_changes(moves),
        sent=window.sent,
        lost=window.lost,
        lost_expected=round(window.sent * _loss_of_a_round_trip(link.loss)),
        lost_unexplained=_unexplained(window, link.loss),
        duplicated=window.duplicated,
        gap_ms=round(window.gap_ms, 1),
        frames_lost_by_links=lost_by_links,
        gateway_rss_kib=gateway_rss,
        client_rss_kib=client_rss,
        audit_violations=violations,
    )


def main() -> int:
    """Parse the arguments, run, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="endure", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--loss", type=float, default=0.03)
    parser.add_argument("--delay-ms", type=float, default=20.0)
    parser.add_argument("--jitter-ms", type=float, default=10.0)
    parser.add_argument("--output", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    link = LinkSettings(
        delay_us=round(arguments.delay_ms * 1e3),
        jitter_us=round(arguments.jitter_ms * 1e3),
        loss=arguments.loss,
    )
    interrupt_on_every_signal()
    try:
        with tempfile.TemporaryDirectory(prefix="jvpn-endure-") as work:
            endured = endure(Path(work), minutes=arguments.minutes, link=link)
    except LabRefused as refused:
        sys.stderr.write(f"endure: {refused}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nendure: interrupted; everything it made is gone\n")
        return 130
    text = json.dumps(asdict(endured) | {"held": endured.held()}, indent=2) + "\n"
    sys.stdout.write(text)
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text, encoding="utf-8")
    return 0 if endured.held() else 1


def _watch(log: EventTail, minutes: float) -> None:
    """Wait, and tell each change at once and the time now and then."""
    begun = time.monotonic()
    told = begun
    while (now := time.monotonic()) < begun + 60 * minutes:
        for event in log.read():
            sys.stderr.write(
                f"{now - begun:7.1f} s  {event['event_type']}  {event['reason_code']}\n"
            )
        if now - told >= TOLD_EVERY_SECONDS:
            told = now
            sys.stderr.write(f"{now - begun:7.1f} s\n")
        time.sleep(min(0.5, begun + 60 * minutes - now))


def _changes(moves: list[dict[str, Any]]) -> dict[str, int]:
    changed = (event for event in moves if event["event_type"] == "STATE_CHANGE")
    counted = Counter(
        f"{event['data']['state_before']} -> {event['data']['state_after']} {event['reason_code']}"
        for event in changed
    )
    return dict(sorted(counted.items()))


def _memory(stage: Stage) -> tuple[int, int]:
    return rss_kib(stage.gateway.process), rss_kib(stage.client.process)


def _loss_of_a_round_trip(loss: float) -> float:
    return 1 - (1 - loss) ** 2


def _unexplained(window: EchoWindow, loss: float) -> int:
    """Return the losses beyond what chance makes likely; every one on a link without loss."""
    share = _loss_of_a_round_trip(loss)
    deviation = math.sqrt(window.sent * share * (1 - share))
    return max(0, math.ceil(window.lost - window.sent * share - DEVIATIONS_MAX * deviation))


if __name__ == "__main__":
    sys.exit(main())
