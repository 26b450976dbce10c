"""The lab's link element as a process of its own: `python -m jumping_vpn.lab.link LEFT RIGHT`.

It joins two interfaces of its namespace and obeys JSON lines on standard input until that ends.
Each order is answered, once it holds, by a line with the instant and the counters; the last line
holds the counters alone. docs/lab.md says what each setting does and what the element costs.
"""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final, TypeAlias

from jumping_vpn._native import LinkElement
from jumping_vpn.lab.namespaces import LabRefused, Namespace

CLOSE_SECONDS_MAX: Final = 5.0
URGENT: Final = -15


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Loss in windows of time: a share for `for_us` of every `every_us`."""

    kind: ClassVar[str] = "windows"

    every_us: int
    for_us: int
    loss: float
    after_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gilbert:
    """Loss in two states, after Gilbert and Elliott: chance leaves one at each frame."""

    kind: ClassVar[str] = "gilbert"

    enter: float
    leave: float
    good: float = 0.0
    bad: float = 1.0


Burst: TypeAlias = Windows | Gilbert


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One direction; times in microseconds, shares from 0 to 1, zero means without."""

    delay_us: int = 0
    jitter_us: int = 0
    in_order: bool = False
    reorder: float = 0.0
    duplicate: float = 0.0
    loss: float = 0.0
    burst: Burst | None = None
    rate_bit: int = 0
    queue_packets: int = 0
    queue_bytes: int = 0
    packet_max: int = 0
    blocked: bool = False

    def order(self) -> dict[str, Any]:
        """Return the lane as the element reads it."""
        burst = {"kind": "none"}
        if self.burst is not None:
            burst = {"kind": self.burst.kind, **asdict(self.burst)}
        return {**asdict(self), "burst": burst}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """How a link behaves: up is away from the client, its left; down is towards it."""

    up: Lane = Lane()
    down: Lane = Lane()
    seed: int = 1

    def order(self) -> str:
        """Return the line that orders this."""
        lanes = {"to_right": self.up.order(), "to_left": self.down.order()}
        return json.dumps({**lanes, "seed": self.seed}) + "\n"


def symmetric(lane: Lane, *, seed: int) -> LinkSettings:
    """Return a link that is the same both ways."""
    return LinkSettings(up=lane, down=lane, seed=seed)


class Link:
    """A running link element; the client's side is its left."""

    def __init__(self, namespace: Namespace, left: str, right: str, settings: LinkSettings) -> None:
        self.settings = settings
        self._process = namespace.start(
            (sys.executable, "-m", "jumping_vpn.lab.link", left, right),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        namespace.lab.own(self._process.stdout)
        self._unread = 0
        self._order(settings)

    def configure(self, settings: LinkSettings) -> int:
        """Change how the link behaves; return the instant from which that holds, monotonic ns."""
        self._order(settings)
        at_ns: int = self._told()["at_ns"]
        return at_ns

    def block(self, *, up: bool, down: bool) -> int:
        """Swallow what goes up, down, both or nothing; return the instant of it, monotonic ns."""
        before = self.settings
        return self.configure(
            replace(
                before,
                up=replace(before.up, blocked=up),
                down=replace(before.down, blocked=down),
            )
        )

    def counters(self) -> dict[str, int]:
        """Return how many frames met which fate so far."""
        self._order(self.settings)
        return {name: count for name, count in self._told().items() if name != "at_ns"}

    def close(self) -> dict[str, int]:
        """End the link; return how many frames met which fate."""
        printed, _ = self._process.communicate(timeout=CLOSE_SECONDS_MAX)
        counted: dict[str, int] = json.loads(printed.splitlines()[-1])
        return counted

    def _order(self, settings: LinkSettings) -> None:
        self.settings = settings
        control = self._process.stdin
        if control is not None:
            control.write(settings.order())
            control.flush()
            self._unread += 1

    def _told(self) -> dict[str, int]:
        """Return the answer to the newest order."""
        answers, line = self._process.stdout, ""
        while answers is not None and self._unread:
            line = answers.readline()
            self._unread -= 1
        if not line:
            raise LabRefused("the link element has ended")
        told: dict[str, int] = json.loads(line)
        return told


def main(left: str, right: str) -> None:
    """Forward until standard input ends; an interrupt is for whoever holds its other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A wire does not wait for a processor: late frames would look like a path that died.
    os.nice(URGENT)
    link = LinkElement(left, right)
    link.run(sys.stdin.fileno(), sys.stdout.fileno())
    sys.stdout.write(json.dumps(link.counters()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
