"""What the lab measures from outside of the product: gaps, losses and doubles, and a download."""

import hashlib
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from jumping_vpn.lab.namespaces import Namespace
from jumping_vpn.lab.traffic import content

MODULE: Final = "jumping_vpn.lab.traffic"
NS_PER_MS: Final = 1_000_000


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the whole lines that a process prints until its end, then close the pipe."""
    if process.stdout is not None:
        with process.stdout as lines:
            yield from (line for line in lines if line.endswith("\n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoWindow:
    """What happened to the echoes that were sent in a span of time; gaps in milliseconds."""

    sent: int
    lost: int
    duplicated: int
    gap_ms: float

    def arrived(self) -> int:
        """Return how many of them came back."""
        return self.sent - self.lost


@dataclass(slots=True)
class EchoStream:
    """A running echo stream and everything it has seen."""

    process: subprocess.Popen[str]
    _sent: dict[int, int] = field(default_factory=dict)
    _seen: dict[int, int] = field(default_factory=dict)
    _arrivals: list[tuple[int, int]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def start(
        cls, client: Namespace, server: Namespace, address: str, *, interval_ms: int = 5
    ) -> "EchoStream":
        """Start server and client; echoes flow as soon as the tunnel does."""
        server.start((sys.executable, "-m", MODULE, "echo-server", address))
        command = (sys.executable, "-m", MODULE, "echo-client", address, str(interval_ms))
        stream = cls(client.start(command, stdout=subprocess.PIPE))
        threading.Thread(target=stream._read, daemon=True).start()
        return stream

    def window(self, start_ns: int, end_ns: int) -> EchoWindow:
        """Return what became of the echoes sent in this span, and the longest silence in it."""
        with self._lock:
            numbers = [number for number, at in self._sent.items() if start_ns <= at < end_ns]
            seen = [self._seen.get(number, 0) for number in numbers]
            times = [at for _, at in self._arrivals if start_ns - 100 * NS_PER_MS <= at <= end_ns]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        return EchoWindow(
            sent=len(numbers),
            lost=sum(count == 0 for count in seen),
            duplicated=sum(count - 1 for count in seen if count > 1),
            gap_ms=max(gaps, default=0) / NS_PER_MS,
        )

    def first_arrival_after(self, instant_ns: int) -> int | None:
        """Return when the first echo arrived after this instant."""
        with self._lock:
            return next((at for _, at in self._arrivals if at > instant_ns), None)

    def last_arrival(self) -> int:
        """Return when the newest echo arrived, 0 before the first."""
        with self._lock:
            return self._arrivals[-1][1] if self._arrivals else 0

    def _read(self) -> None:
        for line in lines_of(self.process):
            kind, number, at = line.split()
            with self._lock:
                if kind == "s":
                    self._sent[int(number)] = int(at)
                    continue
                self._seen[int(number)] = self._seen.get(int(number), 0) + 1
                self._arrivals.append((int(number), int(at)))


@dataclass(slots=True)
class Download:
    """A running download: how much has arrived, and whether it was all of it, unharmed."""

    process: subprocess.Popen[str]
    server: subprocess.Popen[str]
    size: int
    received: int = 0
    sha256: str | None = None
    accepted: int = 0
    history: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def start(
        cls, client: Namespace, server: Namespace, address: str, *, size: int, rate: int
    ) -> "Download":
        """Serve `size` bytes at `rate` bytes per second and fetch them in one TCP connection."""
        command = (sys.executable, "-m", MODULE, "download-server", address, str(size), str(rate))
        serving = server.start(command, stdout=subprocess.PIPE)
        fetch = (sys.executable, "-m", MODULE, "download-client", address)
        download = cls(client.start(fetch, stdout=subprocess.PIPE), serving, size)
        threading.Thread(target=download._read, daemon=True).start()
        threading.Thread(target=download._count, daemon=True).start()
        return download

    def connections(self) -> int:
        """Return how many TCP connections the server has accepted."""
        return self.accepted

    def is_correct(self) -> bool:
        """Say whether everything arrived with the right digest."""
        digest = hashlib.sha256()
        for piece in content(self.size):
            digest.update(piece)
        return self.sha256 == digest.hexdigest()

    def rate_mbit(self) -> float:
        """Return the throughput of the last second or so."""
        recent = self.history[-10:]
        if len(recent) < 2:
            return 0.0
        (then, before), (now, after) = recent[0], recent[-1]
        return (after - before) * 8e3 / max(now - then, 1)

    def _read(self) -> None:
        for line in lines_of(self.process):
            told = json.loads(line)
            self.received = told["received"]
            self.history.append((told["at"], told["received"]))
            self.sha256 = told.get("sha256")

    def _count(self) -> None:
        for _ in lines_of(self.server):
            self.accepted += 1
