"""An observer of the inner packets at one end of the tunnel, which knows nothing of the product.

It sees every packet that the kernel hands to a TUN device of its namespace, or takes from it, and
writes down which one it was. What the kernel leaves uncut is cut as the wire would have it: what
counts is packets. Run as `python -m jumping_vpn.lab.tap ADDRESS FILE`: only packets from or to the
address are of interest.
"""

import contextlib
import ctypes
import hashlib
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from jumping_vpn.lab.namespaces import LabRefused, Namespace
from jumping_vpn.lab.traffic import ECHO, ECHO_PORT

MODULE: Final = "jumping_vpn.lab.tap"
RECORD: Final = struct.Struct("!QBq16s")
"""When (monotonic ns), whether it left the tunnel, the echo's number or -1, which packet."""
READY_SECONDS_MAX: Final = 10.0
PAUSE_SECONDS: Final = 0.05

ETH_P_ALL: Final = 0x0003
ARPHRD_NONE: Final = 0xFFFE
SOL_PACKET: Final = 263
PACKET_STATISTICS: Final = 6
PACKET_VNET_HDR: Final = 15
PACKET_OUTGOING: Final = 4
SO_ATTACH_FILTER: Final = 26
SO_RCVBUFFORCE: Final = 33
SO_TIMESTAMPNS: Final = 35
TIMESPEC: Final = struct.Struct("qq")
STATISTICS: Final = struct.Struct("II")
VNET: Final = struct.Struct("=BBHHHH")
ONLY_TUN: Final = (
    (0x20, 0, 0, 0xFFFFF000 + 28),  # load the kind of the device's hardware
    (0x15, 0, 1, ARPHRD_NONE),  # a TUN device has none
    (0x06, 0, 0, 0xFFFFFFFF),  # take it whole
    (0x06, 0, 0, 0),  # leave it
)
BUFFER: Final = 64 << 20
PACKET_MAX: Final = 1 << 17
SYN: Final = 0x02


@dataclass(frozen=True, slots=True)
class Sighting:
    """A packet that was seen: when, which one, and the number of the echo that it carries."""

    at_ns: int
    key: bytes
    echo: int | None


@dataclass(slots=True)
class Tap:
    """A running observer: what entered the tunnel at its end, and what left it."""

    process: subprocess.Popen[str]
    path: Path
    entered: list[Sighting] = field(default_factory=list)
    left: list[Sighting] = field(default_factory=list)
    _offset: int = 0

    @classmethod
    def start(cls, namespace: Namespace, address: str, path: Path) -> "Tap":
        """Observe in this namespace; returns once nothing can be missed any more."""
        command = (sys.executable, "-m", MODULE, address, str(path))
        tap = cls(namespace.start(command), path)
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not path.exists():
            if tap.process.poll() is not None or time.monotonic() > deadline:
                raise LabRefused("the observer of inner packets did not start")
            time.sleep(0.01)
        return tap

    def read(self) -> None:
        """Take over what was written down since the last call."""
        if self.process.poll() is not None:
            raise LabRefused("the observer of inner packets has ended: it missed some")
        with self.path.open("rb") as records:
            records.seek(self._offset)
            told = records.read()
        told = told[: len(told) - len(told) % RECORD.size]
        self._offset += len(told)
        for at_ns, left, echo, key in RECORD.iter_unpack(told):
            seen = Sighting(at_ns, key, None if echo < 0 else echo)
            (self.left if left else self.entered).append(seen)


def observe(address: str, path: str) -> None:
    """Write a record for each packet until the end; stop where one was missed.

    The kernel keeps packets and their times; they are fetched now and then, in order to disturb
    nothing that is being measured.
    """
    host = socket.inet_aton(address)
    buffer = bytearray(PACKET_MAX)
    with _tap() as tap, Path(path).open("wb") as records:
        while True:
            time.sleep(PAUSE_SECONDS)
            with contextlib.suppress(BlockingIOError):
                while True:
                    _note_next(tap, buffer, records, host)
            records.flush()
            _, missed = STATISTICS.unpack(tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            if missed:
                sys.exit(f"missed {missed} packets")


def _tap() -> socket.socket:
    """Return a socket that sees every packet of every TUN device from here on."""
    program = b"".join(struct.pack("HBBI", *line) for line in ONLY_TUN)
    held = ctypes.create_string_buffer(program)
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    tap.setsockopt(
        socket.SOL_SOCKET,
        SO_ATTACH_FILTER,
        struct.pack("HL", len(ONLY_TUN), ctypes.addressof(held)),
    )
    tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    tap.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    tap.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    with contextlib.suppress(BlockingIOError):
        while True:  # What came before the filter is not for us.
            tap.recv(PACKET_MAX, socket.MSG_DONTWAIT)
    return tap


def _monotonic(told: list[tuple[int, int, bytes]]) -> int:
    """Return when the kernel saw the packet, on the clock that all namespaces share."""
    now = time.monotonic_ns()
    for level, kind, data in told:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = TIMESPEC.unpack(data)
            age = time.time_ns() - int(seconds * 1_000_000_000 + nanoseconds)
            return now - max(0, age)
    return now


def _note_next(tap: socket.socket, buffer: bytearray, records: BinaryIO, host: bytes) -> None:
    count, told, _, source = tap.recvmsg_into([buffer], 64, socket.MSG_DONTWAIT)
    size = VNET.unpack_from(buffer)[3]
    packet = bytes(memoryview(buffer)[VNET.size : count])
    if host not in (packet[12:16], packet[16:20]):
        return
    at, left = _monotonic(told), source[2] != PACKET_OUTGOING
    for key, echo in packets_of(packet, size):
        records.write(RECORD.pack(at, left, -1 if echo is None else echo, key))


def packets_of(packet: bytes, size: int) -> Iterator[tuple[bytes, int | None]]:
    """Yield the identity of each packet that this one is, or is to be cut into by `size`.

    The identity is what the way through the tunnel does not change, without the payload; an echo
    is its number. Packets that are alike have the same: they are counted.
    """
    header = (packet[0] & 15) * 4
    protocol, hosts = packet[9], packet[12:20]
    if protocol == socket.IPPROTO_TCP:
        yield from _segments(packet, header, size, hosts)
    elif protocol == socket.IPPROTO_UDP:
        yield from _datagrams(packet, header, size, hosts)
    else:
        yield _digest(b"other", packet[4:6], hosts, packet[header:]), None


def _segments(
    packet: bytes, header: int, size: int, hosts: bytes
) -> Iterator[tuple[bytes, int | None]]:
    ports = packet[header : header + 4]
    sequence, acknowledged = struct.unpack_from("!II", packet, header + 4)
    start = header + (packet[header + 12] >> 4) * 4
    begins = packet[header + 13] & SYN
    # What the first segments say of packet sizes is changed on the way.
    told = b"" if begins else packet[header + 14 : header + 16] + packet[header + 20 : start]
    length = len(packet) - start
    for at in range(0, length or 1, size or length or 1):
        part = min(size or length, length - at)
        words = struct.pack("!III", (sequence + at) & 0xFFFFFFFF, acknowledged, part)
        yield _digest(b"tcp", hosts, ports, words, told), None


def _datagrams(
    packet: bytes, header: int, size: int, hosts: bytes
) -> Iterator[tuple[bytes, int | None]]:
    ports, start = packet[header : header + 4], header + 8
    length = len(packet) - start
    is_echo = ECHO_PORT in struct.unpack("!HH", ports)
    for at in range(start, start + (length or 1), size or length or 1):
        payload = packet[at : min(at + (size or length), start + length)]
        echo = ECHO.unpack_from(payload)[0] if is_echo and len(payload) >= ECHO.size else None
        yield _digest(b"udp", hosts, ports, payload), echo


def _digest(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"|".join(parts), digest_size=16).digest()


if __name__ == "__main__":
    try:
        observe(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
