"""The lab's link element as a process of its own: `python -m jumping_vpn.lab.link LEFT RIGHT`.

It joins two interfaces of its namespace and obeys JSON lines on standard input until that ends;
then it prints what it counted.
"""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from typing import Final

from jumping_vpn._native import LinkElement
from jumping_vpn.lab.namespaces import Namespace

CLOSE_SECONDS_MAX: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """How a link behaves; delays in microseconds, loss as a share from 0 to 1."""

    delay_us: int = 0
    jitter_us: int = 0
    loss: float = 0.0
    blocked_to_right: bool = False
    blocked_to_left: bool = False
    seed: int = 1


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
        self._apply(settings)

    def block(self, *, up: bool, down: bool) -> None:
        """Swallow what goes up (from the left), down, both or nothing, from now on."""
        self._apply(replace(self.settings, blocked_to_right=up, blocked_to_left=down))

    def shape(self, *, delay_us: int, jitter_us: int, loss: float) -> None:
        """Change delay, jitter and loss."""
        self._apply(replace(self.settings, delay_us=delay_us, jitter_us=jitter_us, loss=loss))

    def close(self) -> dict[str, int]:
        """End the link; return how many frames it forwarded, lost, blocked and refused."""
        told, _ = self._process.communicate(timeout=CLOSE_SECONDS_MAX)
        counted: dict[str, int] = json.loads(told)
        return counted

    def _apply(self, settings: LinkSettings) -> None:
        self.settings = settings
        control = self._process.stdin
        if control is not None:
            control.write(json.dumps(asdict(settings)) + "\n")
            control.flush()


def main(left: str, right: str) -> None:
    """Forward until standard input ends; an interrupt is for whoever holds its other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = LinkElement(left, right)
    link.run(sys.stdin.fileno())
    sys.stdout.write(json.dumps(link.counters()) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
