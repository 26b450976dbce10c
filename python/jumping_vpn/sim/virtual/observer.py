"""What stands on the wire and beside the TUNs, and knows nothing of the code under test.

It sees datagrams with their bytes and inner packets as they are delivered, and from that alone says
what must never be:

- an inner packet is delivered twice, or to somebody else;
- a binding that was left delivers once more: of each session and way, one binding delivers at any
  instant, and they follow each other;
- a sender goes back to a binding that it left;
- one header (index and counter, so one key and nonce) seals two different packets;
- a stranger who repeats what it has seen is answered with more than three times what it sent.
"""

import zlib
from collections import Counter
from collections.abc import Callable
from typing import Final

from jumping_vpn.sim.virtual.network import STRANGER, Way
from jumping_vpn.sim.virtual.traffic import Packet, packet_of

DATA: Final = 0x04
CONTROL: Final = 0x05
SEALED: Final = (DATA, CONTROL)
INDEX: Final = slice(1, 8)
NONCE: Final = slice(0, 16)
AMPLIFICATION_MAX: Final = 3


class Wire:
    """Counts who could deliver, packet by packet."""

    def __init__(self, broken: Callable[[str], None]) -> None:
        self.delivered: Counter[Packet] = Counter()
        self.newest: dict[tuple[int, Way], int] = {}
        self._broken = broken
        self._sealed: dict[bytes, int] = {}
        self._tenures: dict[str, Tenures] = {}
        self._strange = {"sent": 0, "received": 0}

    def sent(self, source: str, target: str, datagram: bytes) -> None:
        """See a datagram as it leaves."""
        if source == STRANGER:
            self._strange["sent"] += len(datagram)
            return
        if target == STRANGER:
            self._strange["received"] += len(datagram)
            if self._strange["received"] > AMPLIFICATION_MAX * self._strange["sent"]:
                self._broken("a stranger was sent more than three times what it had sent")
        if datagram[0] in SEALED:
            seal = zlib.crc32(datagram)
            if self._sealed.setdefault(datagram[NONCE], seal) != seal:
                self._broken(f"two packets were sealed with one nonce: {datagram[NONCE].hex()}")

    def sends(self, who: str, datagram: bytes) -> None:
        """See by which binding a process sends data."""
        if datagram[0] == DATA:
            self._tenure(f"{who} sends", datagram)

    def arrived(self, who: str, inner: bytes, within: bytes | None) -> Packet:
        """See an inner packet delivered, and the datagram that brought it."""
        packet = packet_of(inner)
        self.delivered[packet] += 1
        if self.delivered[packet] > 1:
            client, way, number = packet
            self._broken(f"packet {number} of client {client} {way} was delivered twice")
        self.newest[packet[:2]] = max(packet[2], self.newest.get(packet[:2], 0))
        if within is not None and within[0] == DATA:
            self._tenure(f"{who} receives", within)
        return packet

    def _tenure(self, what: str, datagram: bytes) -> None:
        tenures = self._tenures.setdefault(what, Tenures())
        if not tenures.goes_on(datagram[INDEX]):
            self._broken(f"{what} by binding {datagram[INDEX].hex()}, which was left")


class Tenures:
    """Bindings that follow each other."""

    def __init__(self) -> None:
        self._current = b""
        self._left: set[bytes] = set()

    def goes_on(self, index: bytes) -> bool:
        """Take a packet of a binding; say whether it is the newest one or a new one."""
        if index == self._current:
            return True
        if index in self._left:
            return False
        self._left.add(self._current)
        self._current = index
        return True
