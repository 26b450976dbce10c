"""A stranger on the gateway's wire: it listens to real traffic, then sends what no client would.

Run inside of a namespace: `python hostile.py listen INTERFACE FILE` records the payloads of the
UDP packets to the gateway until it is interrupted; `python hostile.py attack ADDRESS FILE PACKETS`
sends that many packets made from them, and prints how many of each kind.
"""

import itertools
import json
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

PORT = 4789
ETH_P_ALL = 3
ETHERNET, UDP = 14, 8
PACKETS_KEPT = 4000
PACKETS_A_SECOND = 4000
SEED = 41
OVERSIZED = 1400
DATA, CONTROL = 4, 5
BOUND_HEADER = 16

Maker = Callable[[random.Random, list[bytes]], bytes]


def listen(interface: str, file: str) -> None:
    """Record payloads to the gateway's port, hexadecimal, one a line."""
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as wire,
        Path(file).open("w", encoding="ascii") as record,
    ):
        wire.bind((interface, ETH_P_ALL))
        for _ in range(PACKETS_KEPT):
            payload = None
            while payload is None:
                payload = payload_to_gateway(wire.recv(1 << 16))
            record.write(payload.hex() + "\n")
            record.flush()


def payload_to_gateway(frame: bytes) -> bytes | None:
    """Return the UDP payload of an IPv4 frame to the gateway's port."""
    if frame[12:14] != b"\x08\x00" or frame[ETHERNET + 9] != socket.IPPROTO_UDP:
        return None
    start = ETHERNET + (frame[ETHERNET] & 15) * 4
    if int.from_bytes(frame[start + 2 : start + 4]) != PORT:
        return None
    return frame[start + UDP : start + int.from_bytes(frame[start + 4 : start + 6])]


def truncated(chance: random.Random, heard: list[bytes]) -> bytes:
    packet = chance.choice(heard)
    return packet[: chance.randrange(len(packet))]


def oversized(chance: random.Random, heard: list[bytes]) -> bytes:
    packet = chance.choice(heard)
    return packet + chance.randbytes(OVERSIZED - len(packet) if len(packet) < OVERSIZED else 64)


def replayed(chance: random.Random, heard: list[bytes]) -> bytes:
    return chance.choice(heard)


def flipped(chance: random.Random, heard: list[bytes]) -> bytes:
    packet = bytearray(chance.choice(heard))
    bit = chance.randrange(8 * len(packet))
    packet[bit // 8] ^= 1 << bit % 8
    return bytes(packet)


def crossed(chance: random.Random, heard: list[bytes]) -> bytes:
    """One session's packet under the receiver index of another's."""
    bound = [packet for packet in heard if packet[0] in {DATA, CONTROL}]
    one, other = chance.choice(bound), chance.choice(bound)
    return other[: BOUND_HEADER // 2] + one[BOUND_HEADER // 2 :]


def reversioned(chance: random.Random, heard: list[bytes]) -> bytes:
    """A handshake of a version to come."""
    packet = bytearray(next(each for each in heard if each[0] == 1))
    packet[1] = chance.randrange(2, 256)
    return bytes(packet)


def noise(chance: random.Random, heard: list[bytes]) -> bytes:
    return chance.randbytes(chance.randrange(1, OVERSIZED))


def typed_noise(chance: random.Random, heard: list[bytes]) -> bytes:
    return bytes([chance.randrange(16)]) + chance.randbytes(chance.randrange(OVERSIZED))


MAKERS: tuple[Maker, ...] = (
    truncated,
    oversized,
    replayed,
    flipped,
    crossed,
    reversioned,
    noise,
    typed_noise,
)


def made(heard: list[bytes], packets: int) -> Iterator[tuple[str, bytes]]:
    """Yield what is sent, the kinds in turn; two of everything, and replays in disorder."""
    chance = random.Random(SEED)
    makers = itertools.cycle(MAKERS)
    for maker in itertools.islice(makers, packets // 2):
        packet = maker(chance, heard)
        yield maker.__name__, packet
        yield maker.__name__, packet


def attack(address: str, file: str, packets: str) -> None:
    """Send them at a steady pace, and tell how many."""
    heard = [bytes.fromhex(line) for line in Path(file).read_text(encoding="ascii").split()]
    sent: Counter[str] = Counter()
    begun = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.connect((address, PORT))
        for number, (kind, packet) in enumerate(made(heard, int(packets))):
            ahead = number / PACKETS_A_SECOND - (time.monotonic() - begun)
            if ahead > 0.005:
                time.sleep(ahead)  # paces: as fast as a stranger may be, not faster
            stranger.send(packet)
            sent[kind] += 1
    sys.stdout.write(json.dumps(sent))


if __name__ == "__main__":
    {"listen": listen, "attack": attack}[sys.argv[1]](*sys.argv[2:])
