"""`make soak PROFILE=loss MINUTES=60`: the echo stream where it is hard, but no path dies.

Run as `python -m jumping_vpn.lab.endure --profile NAME --minutes M`; profiles.py says what each
does. No binding may be declared dead. What the links lose is lost in the tunnel too; what is lost
beyond that is the product's.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from jumping_vpn.lab import topology
from jumping_vpn.lab.namespaces import LabRefused, interrupt_on_every_signal, laboratory
from jumping_vpn.lab.probe import EchoStream
from jumping_vpn.lab.product import EventTail, rss_kib
from jumping_vpn.lab.profiles import PROFILES, STOPPED_EVERY_SECONDS, Profile
from jumping_vpn.lab.stage import ATTACH_SECONDS_MAX, Stage, open_stage
from jumping_vpn.observe.audit import verify

TAIL_NS: Final = 1_000_000_000
TOLD_EVERY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endured:
    """What happened; `lost_unexplained` is what the frames that the links lost do not account for.

    `deaths_s` are the seconds, from the start, of bindings that were declared dead.
    """

    profile: str
    minutes: float
    deaths_max: int
    session_id: str | None
    same_session: bool
    deaths_s: tuple[float, ...]
    jumps: dict[str, int]
    volatile: int
    attempts: int
    state_changes: dict[str, int]
    sent: int
    lost: int
    lost_unexplained: int
    duplicated: int
    gap_ms: float
    frames_lost_by_links: int
    gateway_rss_kib: tuple[int, int]
    client_rss_kib: tuple[int, int]
    audit_violations: int

    def held(self) -> bool:
        """Say whether nothing happened that should not."""
        return (
            self.same_session
            and len(self.deaths_s) <= self.deaths_max
            and not (self.duplicated or self.lost_unexplained or self.audit_violations)
        )


def endure(work: Path, profile: Profile, *, minutes: float) -> Endured:
    """Run the stream for this long on such paths, and say what happened."""
    with laboratory("jve") as lab, profile.around():
        stage = open_stage(lab, work, plans=profile.plans())
        first = stage.client.wait_attached(answering=2, seconds_max=ATTACH_SECONDS_MAX)
        gateway_log, client_log = EventTail(stage.gateway.events), EventTail(stage.client.events)
        gateway_log.read()
        client_log.read()
        born, asked = len(gateway_log.seen), len(client_log.seen)
        memory = _memory(stage)
        echo = EchoStream.start(stage.topology.client, stage.topology.server, topology.LAN_SERVER)
        start_ns, start_ms = time.monotonic_ns(), time.time() * 1e3
        _watch(stage, profile, gateway_log, minutes)
        window = echo.window(start_ns, time.monotonic_ns() - TAIL_NS)
        client_log.read()
        gateway_log.read()
        last = stage.client.status()
        gateway_rss, client_rss = zip(memory, _memory(stage), strict=True)
        violations = verify(stage.gateway.events).violations
        lost_by_links = sum(path.link.close()["lost"] for path in stage.topology.paths)
    moves = gateway_log.seen[born:]
    after = [event["data"].get("state_after") for event in moves]
    return Endured(
        profile=profile.name,
        minutes=minutes,
        deaths_max=profile.deaths_max,
        session_id=last.session_id if last else None,
        same_session=last is not None and last.session_id == first.session_id,
        deaths_s=tuple(
            round((event["ts_ms"] - start_ms) / 1e3, 1)
            for event, state in zip(moves, after, strict=True)
            if state == "RECOVERING"
        ),
        jumps=_jumps(moves),
        volatile=after.count("VOLATILE"),
        attempts=sum(
            event["event_type"] == "REATTACH_ATTEMPT" for event in client_log.seen[asked:]
        ),
        state_changes=_changes(moves),
        sent=window.sent,
        lost=window.lost,
        lost_unexplained=max(0, window.lost - lost_by_links),
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
    known = {profile.name: profile for profile in PROFILES}
    parser.add_argument("--profile", choices=known, default="loss")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--output", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    profile = known[arguments.profile]
    interrupt_on_every_signal()
    try:
        with tempfile.TemporaryDirectory(prefix="jvpn-endure-") as work:
            endured = endure(Path(work), profile, minutes=arguments.minutes)
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


def _watch(stage: Stage, profile: Profile, log: EventTail, minutes: float) -> None:
    """Wait, harm the product now and then, and tell each change at once."""
    begun = time.monotonic()
    told = harmed = begun
    while (now := time.monotonic()) < begun + 60 * minutes:
        _require_alive(stage)
        for event in log.read():
            sys.stderr.write(
                f"{now - begun:7.1f} s  {event['event_type']}  {event['reason_code']}\n"
            )
        if now - told >= TOLD_EVERY_SECONDS:
            told = now
            sys.stderr.write(f"{now - begun:7.1f} s\n")
        if now - harmed >= STOPPED_EVERY_SECONDS:
            harmed = now
            profile.harm(stage)
        time.sleep(min(0.5, max(0.0, begun + 60 * minutes - time.monotonic())))


def _require_alive(stage: Stage) -> None:
    for what, process in (("gateway", stage.gateway.process), ("client", stage.client.process)):
        if process is None or process.poll() is not None:
            raise LabRefused(f"the {what} has ended")


def _jumps(moves: list[dict[str, Any]]) -> dict[str, int]:
    made = (event for event in moves if event["event_type"] == "TRANSPORT_SWITCH")
    return dict(sorted(Counter(event["reason_code"] for event in made).items()))


def _changes(moves: list[dict[str, Any]]) -> dict[str, int]:
    changed = (event for event in moves if event["event_type"] == "STATE_CHANGE")
    counted = Counter(
        f"{event['data']['state_before']} -> {event['data']['state_after']} {event['reason_code']}"
        for event in changed
    )
    return dict(sorted(counted.items()))


def _memory(stage: Stage) -> tuple[int, int]:
    return rss_kib(stage.gateway.process), rss_kib(stage.client.process)


if __name__ == "__main__":
    sys.exit(main())
