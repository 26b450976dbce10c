"""The lab's heavy traffic: numbered datagrams at a known rate, and bulk in one TCP connection.

Each role is a process inside a namespace: `python -m jumping_vpn.lab.flood ROLE ARGUMENT...`. A
sender goes on until its standard input ends. A receiver of datagrams tells its count for each line
on its standard input, a receiver of bulk now and then by itself.
"""

import contextlib
import itertools
import json
import mmap
import selectors
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from jumping_vpn.lab.namespaces import Namespace

MODULE: Final = "jumping_vpn.lab.flood"
NUMBER: Final = struct.Struct("!Q")
DATAGRAM: Final = 1_200
PACE_SECONDS: Final = 0.002
CHUNK: Final = 16_384
PERIOD: Final = 251
"""Bulk repeats after so many bytes, which is prime: no lost or doubled piece goes unseen."""
NUMBERS_MAX: Final = 1 << 26
BUFFER: Final = 16 << 20
SO_RCVBUFFORCE: Final = 33
"""Not in the socket module: more than rmem_max, for root."""
TELL_SECONDS: Final = 0.02
BLOCKED_SECONDS: Final = 0.2
CONNECT_SECONDS_MAX: Final = 10.0
ANSWER_SECONDS_MAX: Final = 10.0


def send_datagrams(address: str, port: str, mbit: str) -> None:
    """Send numbered datagrams at this rate; print how many when standard input ends."""
    per_second = float(mbit) * 1e6 / 8 / DATAGRAM
    padding, sent = bytes(DATAGRAM - NUMBER.size), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender, _until_input_ends() as ended:
        sender.connect((address, int(port)))
        began = time.monotonic()
        while not ended.is_set():
            for number in range(sent, int((time.monotonic() - began) * per_second)):
                # What is refused was never taken: the number is used again.
                try:
                    sender.send(NUMBER.pack(number) + padding)
                except OSError:
                    break
                sent = number + 1
            time.sleep(PACE_SECONDS)
    _tell(sent=sent)


def receive_datagrams(address: str, port: str) -> None:
    """Count each number; for each line on standard input print what arrived so far."""
    counts = mmap.mmap(-1, NUMBERS_MAX)
    tally = {"received": 0, "highest": -1, "duplicated": 0, "late": 0}
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        selectors.DefaultSelector() as ready,
    ):
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        receiver.bind((address, int(port)))
        receiver.settimeout(0)
        ready.register(receiver, selectors.EVENT_READ)
        ready.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is receiver:
                    _count(receiver, counts, tally)
                    continue
                if not sys.stdin.readline():
                    return
                _tell(**tally, missing=_missing(counts, tally["highest"]))


def _count(receiver: socket.socket, counts: mmap.mmap, tally: dict[str, int]) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            (number,) = NUMBER.unpack_from(receiver.recv(2_048))
            tally["received"] += 1
            if counts[number]:
                tally["duplicated"] += 1
                continue
            counts[number] = 1
            if number > tally["highest"]:
                tally["highest"] = number
            else:
                tally["late"] += 1


def _missing(counts: mmap.mmap, highest: int) -> list[list[int]]:
    """Return the first and last number of each gap, the newest hundred at most."""
    gaps, place = [], counts.find(b"\0", 0, highest + 1)
    while place >= 0:
        end = counts.find(b"\1", place, highest + 1)
        gaps.append([place, end - 1])
        place = counts.find(b"\0", end, highest + 1)
    return gaps[-100:]


def send_bulk(address: str, port: str, mbit: str) -> None:
    """Send a known pattern in one connection, no faster than this, until standard input ends."""
    rate, sent = float(mbit) * 1e6 / 8, 0
    pattern = bytes(range(PERIOD)) * (CHUNK // PERIOD + 2)
    with _connect(address, int(port)) as connection, _until_input_ends() as ended:
        connection.settimeout(BLOCKED_SECONDS)
        began = time.monotonic()
        while not ended.is_set():
            start = sent % PERIOD
            with contextlib.suppress(TimeoutError):
                sent += connection.send(pattern[start : start + CHUNK])
            ahead = sent / rate - (time.monotonic() - began)
            if ahead > PACE_SECONDS:
                time.sleep(ahead)
            elif ahead < -1:
                began = time.monotonic() - sent / rate
        connection.shutdown(socket.SHUT_WR)
    _tell(sent=sent)


def receive_bulk(address: str, port: str) -> None:
    """Take one connection and check its pattern; print what arrived, and when, at each stretch."""
    pattern = bytes(range(PERIOD)) * (CHUNK * 8 // PERIOD + 2)
    received, wrong, told = 0, 0, 0.0
    with socket.create_server((address, int(port))) as server:
        connection, _ = server.accept()
        with connection:
            while piece := connection.recv(CHUNK * 4):
                start = received % PERIOD
                wrong += piece != pattern[start : start + len(piece)]
                received += len(piece)
                if time.monotonic() - told > TELL_SECONDS:
                    told = time.monotonic()
                    _tell(received=received, wrong=wrong, at=time.monotonic_ns())
    _tell(received=received, wrong=wrong, at=time.monotonic_ns())


def _connect(address: str, port: int) -> socket.socket:
    deadline = time.monotonic() + CONNECT_SECONDS_MAX
    while True:
        try:
            connection = socket.create_connection((address, port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
            continue
        return connection


@contextlib.contextmanager
def _until_input_ends() -> Iterator[threading.Event]:
    ended = threading.Event()

    def read() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    yield ended


def _tell(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


ROLES: Final[dict[str, Callable[..., None]]] = {
    "send-datagrams": send_datagrams,
    "receive-datagrams": receive_datagrams,
    "send-bulk": send_bulk,
    "receive-bulk": receive_bulk,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What a receiver of datagrams has counted; `missing` are the newest gaps."""

    received: int
    highest: int
    duplicated: int
    late: int
    missing: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Datagrams:
    """Numbered datagrams on their way from one namespace to another."""

    sender: subprocess.Popen[str]
    receiver: subprocess.Popen[str]

    @classmethod
    def start(
        cls, sender: Namespace, receiver: Namespace, address: str, *, port: int, mbit: float
    ) -> "Datagrams":
        """Send to this address of the receiver's, at this rate."""
        target = (address, str(port))
        receiving = _role(receiver, "receive-datagrams", *target)
        # Only one that is there answers: what came before it would be lost.
        _ask(receiving)
        return cls(_role(sender, "send-datagrams", *target, str(mbit)), receiving)

    def stop(self) -> int:
        """Stop sending; return how many were sent."""
        printed, _ = self.sender.communicate(timeout=ANSWER_SECONDS_MAX)
        sent: int = json.loads(printed)["sent"]
        return sent

    def count(self) -> Received:
        """Ask the receiver what has arrived so far."""
        return _ask(self.receiver)


@dataclass(slots=True)
class Bulk:
    """A TCP connection that is kept full, and what of it has arrived when."""

    sender: subprocess.Popen[str]
    receiver: subprocess.Popen[str]
    wrong: int = 0
    history: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def start(
        cls, sender: Namespace, receiver: Namespace, address: str, *, port: int, mbit: float
    ) -> "Bulk":
        """Send to this address of the receiver's, no faster than this."""
        receiving = _role(receiver, "receive-bulk", address, str(port))
        bulk = cls(_role(sender, "send-bulk", address, str(port), str(mbit)), receiving)
        threading.Thread(target=bulk._read, daemon=True).start()
        return bulk

    def received(self) -> int:
        """Return how many bytes have arrived."""
        return self.history[-1][1] if self.history else 0

    def first_after(self, instant_ns: int) -> int | None:
        """Return when bytes arrived first after this instant."""
        return next((at for at, _ in tuple(self.history) if at > instant_ns), None)

    def silence_ns(self, start_ns: int, end_ns: int) -> int:
        """Return the longest silence between two instants."""
        times = [start_ns, *(at for at, _ in tuple(self.history) if start_ns < at < end_ns), end_ns]
        return max(later - earlier for earlier, later in itertools.pairwise(times))

    def mbit(self, start_ns: int, end_ns: int) -> float:
        """Return the goodput between two instants."""
        inside = [(at, bytes_) for at, bytes_ in tuple(self.history) if start_ns <= at <= end_ns]
        if len(inside) < 2:
            return 0.0
        return (inside[-1][1] - inside[0][1]) * 8e3 / (inside[-1][0] - inside[0][0])

    def stop(self) -> int:
        """Stop sending; return how many bytes were sent."""
        printed, _ = self.sender.communicate(timeout=ANSWER_SECONDS_MAX)
        sent: int = json.loads(printed)["sent"]
        return sent

    def _read(self) -> None:
        for line in self.receiver.stdout or ():
            told = json.loads(line)
            self.history.append((told["at"], told["received"]))
            self.wrong = told["wrong"]


def _ask(receiver: subprocess.Popen[str]) -> Received:
    asked, answers = receiver.stdin, receiver.stdout
    if asked is None or answers is None:
        raise ValueError("the receiver has no pipes")
    asked.write("\n")
    asked.flush()
    told = json.loads(answers.readline())
    told["missing"] = tuple((first, last) for first, last in told["missing"])
    return Received(**told)


def _role(namespace: Namespace, role: str, *arguments: str) -> subprocess.Popen[str]:
    process = namespace.start(
        (sys.executable, "-m", MODULE, role, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    namespace.lab.own(process.stdout)
    return process


if __name__ == "__main__":
    try:
        ROLES[sys.argv[1]](*sys.argv[2:])
    except KeyboardInterrupt:
        sys.exit(130)
