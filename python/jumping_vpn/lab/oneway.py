"""A stream in one direction whose every datagram says when it was sent.

Both ends read CLOCK_MONOTONIC, which all namespaces of a machine share, so that delays and gaps of
one direction are told apart from those of the other. `python -m jumping_vpn.lab.oneway ROLE ...`.
"""

import contextlib
import itertools
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from jumping_vpn.lab.namespaces import Namespace

MODULE: Final = "jumping_vpn.lab.oneway"
STAMP: Final = struct.Struct("!QQ")
LENGTH: Final = 120
NS_PER_MS: Final = 1_000_000


def send(address: str, port: str, interval_ms: str) -> None:
    """Send a datagram each interval for ever."""
    interval = int(interval_ms) * NS_PER_MS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((address, int(port)))
        due = time.monotonic_ns()
        for number in itertools.count():
            time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
            with contextlib.suppress(OSError):
                sender.send(STAMP.pack(number, time.monotonic_ns()).ljust(LENGTH, b"."))
            due += interval


def receive(address: str, port: str) -> None:
    """Print number, time sent and time received of each datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((address, int(port)))
        while True:
            datagram = receiver.recv(2_048)
            number, sent = STAMP.unpack_from(datagram)
            sys.stdout.write(f"{number} {sent} {time.monotonic_ns()}\n")
            sys.stdout.flush()


@dataclass(slots=True)
class OneWay:
    """A running stream, and what has arrived of it: when sent, when received."""

    receiver: subprocess.Popen[str]
    interval_ms: int
    _arrived: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def start(
        cls, sender: Namespace, receiver: Namespace, address: str, *, port: int, interval_ms: int
    ) -> "OneWay":
        """Send to this address of the receiver's."""
        program = (sys.executable, "-m", MODULE)
        receiving = receiver.start(
            (*program, "receive", address, str(port)), stdout=subprocess.PIPE
        )
        receiver.lab.own(receiving.stdout)
        sender.start((*program, "send", address, str(port), str(interval_ms)))
        stream = cls(receiving, interval_ms)
        threading.Thread(target=stream._read, daemon=True).start()
        return stream

    def first_after(self, instant_ns: int) -> int | None:
        """Return when a datagram arrived first after this instant."""
        return next((at for _, at in tuple(self._arrived) if at > instant_ns), None)

    def gap_ms(self, start_ns: int, end_ns: int) -> float:
        """Return the longest silence between arrivals in this span."""
        times = [at for _, at in tuple(self._arrived) if start_ns <= at <= end_ns]
        gaps = (later - earlier for earlier, later in itertools.pairwise(times))
        return max(gaps, default=end_ns - start_ns) / NS_PER_MS

    def delay_ms(self, start_ns: int, end_ns: int) -> float:
        """Return the longest way of a datagram that was sent in this span."""
        ways = (at - sent for sent, at in tuple(self._arrived) if start_ns <= sent <= end_ns)
        return max(ways, default=0) / NS_PER_MS

    def ways_ns(self) -> list[int]:
        """Return how long every datagram so far was under way."""
        return [at - sent for sent, at in tuple(self._arrived)]

    def _read(self) -> None:
        for line in self.receiver.stdout or ():
            _, sent, at = line.split()
            self._arrived.append((int(sent), int(at)))


ROLES: Final[dict[str, Callable[..., None]]] = {"send": send, "receive": receive}

if __name__ == "__main__":
    try:
        ROLES[sys.argv[1]](*sys.argv[2:])
    except KeyboardInterrupt:
        sys.exit(130)
