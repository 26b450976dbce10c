"""The lab's traffic: a numbered echo stream, a paced download in one TCP connection, and pings.

Each role is a process inside a namespace: `python -m jumping_vpn.lab.traffic ROLE ARGUMENT...`.
Instants are CLOCK_MONOTONIC nanoseconds, which all namespaces of a machine share.
"""

import contextlib
import hashlib
import json
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

ECHO_PORT: Final = 7007
DOWNLOAD_PORT: Final = 8008
ECHO: Final = struct.Struct("!Q")
ECHO_LENGTH: Final = 120
CHUNK: Final = 16_384
PACE_SECONDS: Final = 0.01
CONNECTS_MAX: Final = 100
ICMP: Final = struct.Struct("!BBHHH")
PINGS: Final = 4
PING_SECONDS: Final = 1.0


def echo_server(address: str) -> None:
    """Send every datagram back to where it came from."""
    with socket.socket(_family(address), socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        server.bind((address, ECHO_PORT))
        while True:
            datagram, source = server.recvfrom(2048)
            server.sendto(datagram, source)


def echo_client(address: str, interval_ms: str) -> None:
    """Send a numbered datagram each interval; print `s NUMBER NS` and `r NUMBER NS` lines."""
    interval = int(interval_ms) * 1_000_000
    with (
        socket.socket(_family(address), socket.SOCK_DGRAM) as client,
        selectors.DefaultSelector() as ready,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        client.connect((address, ECHO_PORT))
        client.settimeout(0)
        ready.register(client, selectors.EVENT_READ)
        number, due = 0, time.monotonic_ns()
        while True:
            now = time.monotonic_ns()
            if now >= due:
                _send(client, number, now)
                number, due = number + 1, due + interval
                continue
            if ready.select((due - now) / 1e9):
                _receive(client)


def _send(client: socket.socket, number: int, now: int) -> None:
    # Without a route the number still counts as sent: what the tunnel cannot take is lost.
    with contextlib.suppress(OSError):
        client.send(ECHO.pack(number).ljust(ECHO_LENGTH, b"."))
    sys.stdout.write(f"s {number} {now}\n")
    sys.stdout.flush()


def _receive(client: socket.socket) -> None:
    while True:
        try:
            datagram = client.recv(2048)
        except BlockingIOError:
            break
        except OSError:
            continue
        (number,) = ECHO.unpack_from(datagram)
        sys.stdout.write(f"r {number} {time.monotonic_ns()}\n")
    sys.stdout.flush()


def content(size: int) -> Iterator[bytes]:
    """Yield the download's bytes: a chain of SHA-256 blocks, the same on both sides."""
    block, made = hashlib.sha256(b"jumping-vpn download").digest(), 0
    while made < size:
        chunk = bytearray()
        while len(chunk) < CHUNK:
            block = hashlib.sha256(block).digest()
            chunk += block * 16
        piece = bytes(chunk[: min(CHUNK, size - made)])
        made += len(piece)
        yield piece


def download_server(address: str, size: str, bytes_per_second: str) -> None:
    """Serve one download to each connection, no faster than the rate."""
    rate = int(bytes_per_second)
    with socket.create_server((address, DOWNLOAD_PORT), family=_family(address)) as server:
        while True:
            connection, source = server.accept()
            _tell(accepted=source[0])
            with connection:
                _serve(connection, int(size), rate)


def _serve(connection: socket.socket, size: int, rate: int) -> None:
    begun, sent = time.monotonic(), 0
    try:
        for piece in content(size):
            connection.sendall(piece)
            sent += len(piece)
            ahead = sent / rate - (time.monotonic() - begun)
            if ahead > PACE_SECONDS:
                time.sleep(ahead)
            elif ahead < -1:
                begun = time.monotonic() - sent / rate
    except OSError as error:
        sys.stderr.write(f"download: {error}\n")


def download_client(address: str) -> None:
    """Fetch the download in one connection; print a JSON line each 100 ms and one at the end."""
    digest, received, told = hashlib.sha256(), 0, 0.0
    with _connect(address) as connection:
        while piece := connection.recv(1 << 16):
            digest.update(piece)
            received += len(piece)
            if time.monotonic() - told > 0.1:
                told = time.monotonic()
                _tell(received=received, at=time.monotonic_ns())
    _tell(received=received, at=time.monotonic_ns(), sha256=digest.hexdigest())


def _connect(address: str) -> socket.socket:
    """Connect once the server listens; what is refused made no connection."""
    for _ in range(CONNECTS_MAX):
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection((address, DOWNLOAD_PORT), timeout=120)
        time.sleep(0.1)
    raise ConnectionRefusedError(f"nothing listens at {address}:{DOWNLOAD_PORT}")


def ping(address: str, source: str, size: str) -> None:
    """Send a few ICMP echo requests of this size; exit with 0 at the first answer, else with 1."""
    family = _family(address)
    protocol = socket.getprotobyname("ipv6-icmp" if family == socket.AF_INET6 else "icmp")
    request, reply = (128, 129) if family == socket.AF_INET6 else (8, 0)
    with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        if source:
            raw.bind((source, 0))
        identity = os.getpid() & 0xFFFF
        for number in range(PINGS):
            raw.sendto(_icmp(request, identity, number, int(size)), (address, 0))
            if _is_answered(raw, reply, identity):
                sys.exit(0)
    sys.exit(1)


def _is_answered(raw: socket.socket, reply: int, identity: int) -> bool:
    deadline = time.monotonic() + PING_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        raw.settimeout(left)
        try:
            packet = raw.recv(1 << 16)
        except TimeoutError:
            break
        header = 0 if raw.family == socket.AF_INET6 else (packet[0] & 15) * 4
        kind, _, _, answered, _ = ICMP.unpack_from(packet, header)
        if (kind, answered) == (reply, identity):
            return True
    return False


def _icmp(kind: int, identity: int, number: int, size: int) -> bytes:
    """Return an echo request; the kernel itself puts the checksum into those of IPv6."""
    body = b"." * (size + size % 2)
    packet = ICMP.pack(kind, 0, 0, identity, number) + body
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return ICMP.pack(kind, 0, checksum, identity, number) + body


def _tell(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


ROLES: Final[dict[str, Callable[..., None]]] = {
    "echo-server": echo_server,
    "echo-client": echo_client,
    "download-server": download_server,
    "download-client": download_client,
    "ping": ping,
}

if __name__ == "__main__":
    try:
        ROLES[sys.argv[1]](*sys.argv[2:])
    except KeyboardInterrupt:
        sys.exit(130)
