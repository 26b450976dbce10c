"""What tests of the whole product ask it, and wait for."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from jumping_vpn.client.status import ClientStatus
from jumping_vpn.gateway.status import SessionLine
from jumping_vpn.lab import topology
from jumping_vpn.lab.namespaces import Namespace
from jumping_vpn.lab.probe import MODULE as TRAFFIC
from jumping_vpn.lab.probe import NS_PER_MS, EchoStream, EchoWindow
from jumping_vpn.lab.product import LabClient, LabGateway, wait_for
from jumping_vpn.lab.stage import Stage

ATTACH_SECONDS_MAX = 30.0
EVENT_SECONDS_MAX = 20.0
PROMPT_NS = 500 * NS_PER_MS


@dataclass(slots=True)
class Echoes:
    """An echo stream whose losses are counted from a mark on."""

    stream: EchoStream
    since_ns: int

    @classmethod
    def start(cls, stage: Stage) -> "Echoes":
        """Start the stream and wait for the first echo: from then on nothing may be lost."""
        stream = EchoStream.start(stage.topology.client, stage.topology.server, topology.LAN_SERVER)
        wait_for("the first echo", stream.last_arrival, seconds_max=EVENT_SECONDS_MAX)
        return cls(stream, time.monotonic_ns())

    def wait_flowing(self, *, echoes: int = 1) -> None:
        """Wait until so many echoes arrived that were sent after this call."""
        now = time.monotonic_ns()
        wait_for(
            "an echo",
            lambda: self.stream.window(now, time.monotonic_ns()).arrived() >= echoes,
            seconds_max=EVENT_SECONDS_MAX,
        )

    def settled(self) -> EchoWindow:
        """Return what became of every echo sent up to now, once the newest of them is back."""
        return self.settled_until()[0]

    def settled_until(self) -> tuple[EchoWindow, int]:
        """Return the same, and up to when."""
        until = time.monotonic_ns()
        wait_for(
            "the last echoes",
            lambda: self.stream.last_arrival() > until + PROMPT_NS,
            seconds_max=EVENT_SECONDS_MAX,
        )
        return self.stream.window(self.since_ns, until), until


def attached(client: LabClient, *, answering: int = 1) -> ClientStatus:
    """Wait for the session and return its status."""
    return client.wait_attached(answering=answering, seconds_max=ATTACH_SECONDS_MAX)


def only_session(gateway: LabGateway) -> SessionLine:
    """Return the one session that the gateway holds."""
    (line,) = wait_for("a session", gateway.sessions, seconds_max=EVENT_SECONDS_MAX)
    return line


def settled_session(gateway: LabGateway) -> SessionLine:
    """Return the one session once it is attached and confirmed."""

    def look() -> SessionLine | None:
        lines = gateway.sessions()
        good = len(lines) == 1 and lines[0].state == "ATTACHED" and lines[0].confirmed
        return lines[0] if good else None

    return wait_for("an attached session", look, seconds_max=ATTACH_SECONDS_MAX)


def reaches(namespace: Namespace, address: str, *, source: str = "", size: int = 56) -> bool:
    """Say whether one of a few pings is answered."""
    ping = (sys.executable, "-m", TRAFFIC, "ping", address, source, str(size))
    return namespace.start(ping).wait(EVENT_SECONDS_MAX) == 0


def inner_address(status: ClientStatus, *, family: int) -> str:
    """Return the client's own address inside the tunnel."""
    of_family = (each for each in status.addresses if (":" in each) == (family == 6))
    return next(of_family).split("/")[0]


def add_to(file: Path, text: str) -> None:
    """Append to a configuration file, whose mode stays."""
    with file.open("a", encoding="utf-8") as config:
        config.write(text)


def replace_in(file: Path, old: str, new: str) -> None:
    """Replace text that a configuration file must contain."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def wait_until_quiet(gateway: LabGateway) -> dict[str, int]:
    """Return the gateway's counters once its discards stand still."""
    seen: list[int] = []

    def look() -> dict[str, int] | None:
        counters = gateway.counters()
        seen.append(sum(counters[name] for name in ("forged", "malformed", "unknown_type")))
        return counters if len(seen) > 3 and len(set(seen[-3:])) == 1 else None

    return wait_for("quiet", look, seconds_max=EVENT_SECONDS_MAX)
