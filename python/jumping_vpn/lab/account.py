"""Whether what the events count as lost is what was lost, packet by packet.

Two taps say which packets entered the tunnel and which left it; a fault's events say how many were
given up and how many are in doubt. What is in doubt may have arrived, and so may what was given up
because its report was late: no end can know. The two agree when, in each direction,

- every packet that was lost is among those that the events count;
- what is in doubt is a run of packets that ends with the last one lost, and what of it was not lost
  had left the tunnel too shortly before the fault for a report of it to have come back.

One loss has no number in the events, only a name: what a gateway held, or its kernel held for it,
when it was killed. The events say that it lost its counter.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jumping_vpn.lab.probe import NS_PER_MS, EchoWindow
from jumping_vpn.lab.tap import Sighting, Tap

MARGIN_NS: Final = 1_000 * NS_PER_MS
"""Packets that entered this long before a span of time have left when it begins."""
DOUBT_MS_MAX: Final = 60.0
"""A report goes out every 25 ms while packets flow; this allows for one that is late."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that entered the tunnel, and when it left, if it did."""

    entered_ns: int
    left_ns: int | None
    echo: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What became of the packets of one direction that entered in a span of time."""

    packets: tuple[Packet, ...]
    duplicated: int

    @property
    def lost(self) -> int:
        """How many never left."""
        return sum(packet.left_ns is None for packet in self.packets)

    def echoes(self, *, lost: bool) -> set[int]:
        """Return the numbers of the echoes that never left, or of those that did."""
        return {
            packet.echo
            for packet in self.packets
            if packet.echo is not None and (packet.left_ns is None) is lost
        }

    def run(self, length: int, *, before_ns: int) -> tuple[Packet, ...]:
        """Return the last packets up to the last one lost; without any, up to what left before."""
        ends = [at for at, packet in enumerate(self.packets, 1) if packet.left_ns is None]
        left = (packet.left_ns for packet in self.packets)
        ends = ends or [at for at, each in enumerate(left, 1) if each and each < before_ns]
        end = ends[-1] if ends else 0
        return self.packets[max(0, end - length) : end]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the events of a fault say of one direction; `unknown` where the sender forgot."""

    given_up: int
    in_doubt: int
    unknown: bool = False

    @property
    def total(self) -> int:
        """How many packets they account for."""
        return self.given_up + self.in_doubt


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One direction: what was seen beside what is told."""

    name: str
    seen: Passage
    told: Counted
    since_ns: int

    def report(self) -> dict[str, Any]:
        """Return the figures under the report's field names."""
        return {
            "entered": len(self.seen.packets),
            "lost": self.seen.lost,
            "duplicated": self.seen.duplicated,
            "given_up": self.told.given_up,
            "in_doubt": self.told.in_doubt,
            "counted_but_arrived": max(0, self.told.total - self.seen.lost),
            "sender_forgot": self.told.unknown,
        }

    def disagreements(self) -> Iterator[str]:
        """Say what the events have wrong."""
        lost, told = self.seen.lost, self.told
        if told.unknown:
            return
        if lost > told.total:
            yield f"{self.name}: {lost} inner packets were lost, the events count {told.total}"
        elif lost > told.given_up + sum(each.left_ns is None for each in self._doubted()):
            yield f"{self.name}: packets were lost of which the events say that they arrived"
        age = self._oldest_ms()
        if age is not None and age > DOUBT_MS_MAX:
            yield f"{self.name}: in doubt is what arrived {age:.0f} ms before the fault"

    def sentence(self) -> str:
        """Return how the count comes about, empty where nothing was lost or counted."""
        lost, told, age = self.seen.lost, self.told, self._oldest_ms()
        which = f"{lost} lost ({len(self.seen.echoes(lost=True))} echoes)"
        if told.unknown and lost:
            return (
                f"{self.name} {which} in the process that was killed, which forgot its counter, "
                "as the events say"
            )
        if not told.total:
            return ""
        arrived = max(0, told.total - lost)
        when = f", at most {age:.0f} ms before the fault" if age is not None else ""
        return (
            f"{self.name} {told.given_up} given up and {told.in_doubt} in doubt by the events = "
            f"{which} and {arrived} that arrived unreported{when}"
        )

    def _doubted(self) -> tuple[Packet, ...]:
        """Return the packets that the events mean where they speak of doubt."""
        if self.told.unknown or not self.told.in_doubt:
            return ()
        return self.seen.run(self.told.in_doubt, before_ns=self.since_ns)

    def _oldest_ms(self) -> float | None:
        times = [packet.left_ns for packet in self._doubted() if packet.left_ns is not None]
        return (self.since_ns - min(times)) / NS_PER_MS if times else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Both directions of one fault, and what the echo probe saw of it."""

    up: Lane
    down: Lane
    echo: EchoWindow
    unanswered: int
    """Echoes that left the tunnel and whose answer never entered it: no tunnel, no packet."""

    @property
    def lost(self) -> int:
        """How many inner packets were lost, both directions together."""
        return self.up.seen.lost + self.down.seen.lost

    @property
    def duplicated(self) -> int:
        """How many left the tunnel once too often."""
        return self.up.seen.duplicated + self.down.seen.duplicated

    @property
    def counted(self) -> int:
        """How many the events account for."""
        return self.up.told.total + self.down.told.total

    @property
    def is_open(self) -> bool:
        """Whether an end forgot what it had not sent yet: the events cannot give its number."""
        return self.up.told.unknown or self.down.told.unknown

    def report(self) -> dict[str, Any]:
        """Return the figures under the report's field names."""
        return {
            "echo": {
                "lost": self.echo.lost,
                "duplicated": self.echo.duplicated,
                "unanswered": self.unanswered,
            },
            "inner": {"up": self.up.report(), "down": self.down.report()},
            "agrees": not self.disagreements(),
        }

    def disagreements(self) -> tuple[str, ...]:
        """Say in what probe, taps and events differ."""
        found = [*self.up.disagreements(), *self.down.disagreements()]
        lanes = (self.up.seen, self.down.seen)
        explained = sum(len(each.echoes(lost=True)) for each in lanes) + self.unanswered
        if self.echo.lost != explained:
            found.append(f"the probe lost {self.echo.lost} echoes, the observers {explained}")
        return tuple(found)

    def sentences(self) -> tuple[str, ...]:
        """Return how the counts come about, a sentence for each direction with any."""
        return tuple(text for text in (self.up.sentence(), self.down.sentence()) if text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observers:
    """The taps at both ends of the tunnel."""

    client: Tap
    gateway: Tap

    def account(
        self,
        handovers: Iterable[dict[str, Any]],
        echo: EchoWindow,
        *,
        start_ns: int,
        since_ns: int,
        end_ns: int,
    ) -> Account:
        """Compare what entered between start and end with what these jumps say of a fault since."""
        self.client.read()
        self.gateway.read()
        jumps = tuple(handovers)
        up = passage(self.client.entered, self.gateway.left, start_ns, end_ns)
        down = passage(self.gateway.entered, self.client.left, start_ns, end_ns)
        answered = {seen.echo for seen in self.gateway.entered}
        return Account(
            up=Lane(name="up", seen=up, told=counted(jumps, "up"), since_ns=since_ns),
            down=Lane(name="down", seen=down, told=counted(jumps, "down"), since_ns=since_ns),
            echo=echo,
            unanswered=len(up.echoes(lost=False) - answered),
        )


def counted(handovers: Iterable[dict[str, Any]], way: str) -> Counted:
    """Return what jumps say of one direction, `up` or `down`."""
    jumps = tuple(handovers)
    forgot = "client_counter_lost" if way == "up" else "gateway_counter_lost"
    return Counted(
        given_up=sum(int(jump[f"given_up_{way}"]) for jump in jumps),
        in_doubt=sum(int(jump[f"in_doubt_{way}"]) for jump in jumps),
        unknown=any(jump[forgot] for jump in jumps),
    )


def passage(
    entered: Sequence[Sighting], left: Sequence[Sighting], start_ns: int, end_ns: int
) -> Passage:
    """Pair what entered with what left, the first with the first where packets are alike."""
    exits: dict[bytes, deque[int]] = defaultdict(deque)
    for seen in left:
        if seen.at_ns >= start_ns - MARGIN_NS:
            exits[seen.key].append(seen.at_ns)
    packets, known = [], set[bytes]()
    for seen in entered:
        if not start_ns - MARGIN_NS <= seen.at_ns < end_ns:
            continue
        known.add(seen.key)
        times = exits[seen.key]
        packet = Packet(seen.at_ns, times.popleft() if times else None, seen.echo)
        if seen.at_ns >= start_ns:
            packets.append(packet)
    later = {seen.key for seen in entered if seen.at_ns >= end_ns}
    twice = sum(len(exits[key]) for key in known - later)
    return Passage(packets=tuple(packets), duplicated=twice)
