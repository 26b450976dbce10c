"""One world: a gateway, its store, clients, a network, and the faults of a scenario.

After the last fault everything is well and stays so. Within a bounded time every client must be
attached then, with packets through both ways; a session that is over is followed by another.
"""

import hashlib
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jumping_vpn.core.client_state import ClientState
from jumping_vpn.core.events import Event
from jumping_vpn.core.ready import Finish
from jumping_vpn.core.record import Record
from jumping_vpn.core.session.model import State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.sim.virtual.alive import Pulse
from jumping_vpn.sim.virtual.calendar import US_PER_MS, US_PER_SECOND, Calendar
from jumping_vpn.sim.virtual.client import ClientHost
from jumping_vpn.sim.virtual.clock import HostClock
from jumping_vpn.sim.virtual.deeds import End, do
from jumping_vpn.sim.virtual.gateway import GatewayHost
from jumping_vpn.sim.virtual.keys import workplace
from jumping_vpn.sim.virtual.loop import EndlessLoop
from jumping_vpn.sim.virtual.network import STRANGER, Line, Network, Way, Weather
from jumping_vpn.sim.virtual.observer import Wire
from jumping_vpn.sim.virtual.scenario import INTERFACES, Fault, Scenario
from jumping_vpn.sim.virtual.settled import unsettled
from jumping_vpn.sim.virtual.store import StoreWeather
from jumping_vpn.sim.virtual.traffic import inner_packet
from jumping_vpn.sim.virtual.witness import ClientBooks, Ledgers
from jumping_vpn.store.memory import MemoryStore

SETTLE_US: Final = 90 * US_PER_SECOND
"""How long everything is well at most: longer than a switch budget is used up, or a loss lasts."""
LOOK_EVERY_US: Final = 3 * US_PER_SECOND
LOCKED_OUT_US: Final = 15 * US_PER_SECOND
"""So long after everything is well no session ends for want of a transport."""
CHANGED: Final = "gateway STATE_CHANGE"
LOOK_AT_PULSE_US: Final = 500 * US_PER_MS
BURST: Final = 4
BURST_SPACING_US: Final = 30 * US_PER_MS
DELAYS_US: Final = (2_000, 12_000, 45_000)
REMEMBERED_MAX: Final = 400
FINDINGS_MAX: Final = 8


@dataclass(slots=True, kw_only=True)
class Report:
    """What a world came to. `digest` stands for everything that happened in it."""

    scenario: Scenario
    digest: str = ""
    findings: list[str] = field(default_factory=list)
    landmarks: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)


class World:
    """Everything of one run."""

    def __init__(self, scenario: Scenario, *, directory: Path, telling: bool = False) -> None:
        self.scenario = scenario
        self.report = Report(scenario=scenario)
        self.calendar = Calendar()
        self.chance = random.Random(scenario.seed ^ 0x5EED)  # noqa: S311  the same each time
        self.network = Network(self.calendar, random.Random(self.chance.getrandbits(64)))  # noqa: S311
        self.store_weather = StoreWeather()
        self.wire = Wire(self.broken)
        self.ledgers = Ledgers(self.broken, self.landmark, lambda: self.calendar.now)
        self.durable = MemoryStore()
        self.books = [
            ClientBooks(number, self.broken, self.landmark) for number in range(scenario.clients)
        ]
        self.layers: dict[tuple[int, str], list[object]] = {}
        self._telling = telling
        self._trace = hashlib.blake2b(digest_size=16)
        self._packets: Counter[tuple[int, Way]] = Counter()
        self._ends: list[End] = []
        self._healed: int | None = None
        self._lifeless: set[int] = set()
        self._pulse = Pulse(self.network)
        self._hook()
        self.gateway = GatewayHost(
            calendar=self.calendar,
            clock=self._clock(),
            network=self.network,
            durable=self.durable,
            store_weather=self.store_weather,
            witness=self.ledgers,
            observer=self,
            policy=scenario.policy,
            chance=random.Random(self.chance.getrandbits(64)),  # noqa: S311
        )
        self.clients = [self._client(number, directory) for number in range(scenario.clients)]

    def run(self) -> Report:
        """Let everything happen, and return what was found."""
        self.gateway.start()
        self.calendar.after(LOOK_AT_PULSE_US, self._look_at_pulses)
        for client in self.clients:
            self.calendar.after(self.chance.randrange(300_000), client.start)
            self.calendar.after(self.chance.randrange(2_000_000), self._talker(client))
        for fault in self.scenario.faults:
            self.calendar.at(fault.at_ms * US_PER_MS, self._beginner(fault))
        try:
            self.calendar.run(self.scenario.span_ms * US_PER_MS)
            self._heal()
            for text in self._come_to_rest():
                self.broken(text)
        except EndlessLoop as error:
            self.broken(f"a process turns without an end: {error}")
        self._end()
        return self.report

    def _come_to_rest(self) -> Sequence[str]:
        """Let time pass until nothing is left to settle, and return what does not settle."""
        self._healed = healed = self.calendar.now
        while True:
            self.calendar.run(self.calendar.now + LOOK_EVERY_US)
            left = tuple(unsettled(self))
            if not left or self.calendar.now >= healed + SETTLE_US:
                return left

    # What is seen.

    def broken(self, text: str) -> None:
        """Note that something happened that never may."""
        if len(self.report.findings) < FINDINGS_MAX:
            self.report.findings.append(f"at {self._now_ms():.3f} ms: {text}")
        self.tell(f"BROKEN: {text}")

    def landmark(self, name: str) -> None:
        """Note that something interesting happened."""
        self.report.landmarks[name] += 1

    def tell(self, text: str) -> None:
        """Write a line of the story, where somebody reads it."""
        if self._telling:
            self.report.story.append(f"{self._now_ms():>12.3f}  {text}")

    def on_lan(self, incarnation: int, inner: bytes, within: bytes | None) -> None:
        """See a packet delivered behind the gateway."""
        client = self.wire.arrived(f"gateway {incarnation} of {_source_of(inner)}", inner, within)[
            0
        ]
        if _source_of(inner) not in _plain(self._granted(client)):
            self.broken(f"client {client} sent as {_source_of(inner)}, which it was never granted")
        self.trace("lan", inner)

    def at_client(self, client: int, inner: bytes, within: bytes | None) -> None:
        """See a packet delivered at a client."""
        meant = self.wire.arrived(f"client {client}", inner, within)[0]
        if meant != client:
            self.broken(f"client {client} got a packet that was for client {meant}")
        self.trace(f"tun{client}", inner)

    def on_event(self, client: int, event: Event) -> None:
        """See an event of a client's log."""
        self.books[client].event(event, now=self.calendar.now)
        self.trace(f"event{client}", f"{event.event_type} {event.reason_code}".encode())
        self.tell(f"client {client}: {event.event_type} {event.reason_code} {event.data}")

    def on_kept(self, client: int, state: ClientState | None) -> None:
        """See a state file written."""
        self.books[client].kept(state)

    def on_finish(self, client: int, session_id: bytes | None, finish: Finish) -> None:
        """See how a client's run ended."""
        del session_id
        well_for = 0 if self._healed is None else self.calendar.now - self._healed
        lost = finish.detail == Reason.TTL_TRANSPORT_LOSS_EXPIRED
        held = self.books[client].was_held(now=self.calendar.now)
        if lost and not held and well_for > LOCKED_OUT_US:
            self.broken(f"client {client} was locked out of its session, and everything was well")
        self.landmark(f"client ends: {finish.outcome} {finish.detail}")
        self.tell(f"client {client} ends: {finish.outcome} {finish.detail}")

    def on_failure(self, who: str, failure: BaseException | None) -> None:
        """See a process that ended by itself: only a stop that was ordered is no failure."""
        if failure is not None:
            self.broken(f"{who} died of {failure!r}")
        else:
            self.landmark("a client stopped in good order")

    def sent_so_far(self, client: int, way: Way) -> int:
        """Return how many inner packets went this way."""
        return self._packets[client, way]

    def trace(self, what: str, content: bytes) -> None:
        """Add something to what must be the same each time."""
        self._trace.update(f"\n{self.calendar.now} {what} ".encode())
        self._trace.update(content)

    # What happens.

    def _hook(self) -> None:
        def on_send(who: str, source: str, target: str, datagram: bytes) -> None:
            self.wire.sent(source, target, datagram)
            if source != STRANGER:
                self.wire.sends(who, datagram)
            self.trace(f"{source}>{target}", datagram)
            seen = self.network.seen
            if len(seen) < REMEMBERED_MAX:
                seen.append(datagram)
            else:
                seen[self.calendar.now % REMEMBERED_MAX] = datagram

        def on_write(reasons: str, record: Record) -> None:
            session = record.session
            self.trace("store", f"{session} {reasons}".encode())
            self.tell(
                f"store: {record.client_name} version {session.version} {session.state}"
                f" epoch {session.epoch} {reasons}"
            )

        self.network.on_send = on_send
        self.ledgers.on_write = on_write

    def _clock(self) -> HostClock:
        chance = self.chance
        return HostClock(
            self.calendar,
            began_us=chance.randrange(1, 1_000) * US_PER_SECOND,
            fast_ppm=chance.choice((-200, -20, 0, 20, 200)),
            wall_ms=chance.choice((0, 0, -400, 400, 90_000, -7_200_000)),
        )

    def _client(self, number: int, directory: Path) -> ClientHost:
        interfaces = INTERFACES[: self.scenario.interfaces]
        for place, interface in enumerate(interfaces):
            line = Line(number, interface, f"198.51.{100 + place}.{10 + number}")
            line.weather = Weather(delay_us=self.chance.choice(DELAYS_US))
            self.network.lines[number, interface] = line
        return ClientHost(
            number,
            calendar=self.calendar,
            clock=self._clock(),
            network=self.network,
            directory=directory,
            observer=self,
            policy=self.scenario.policy,
            interfaces=interfaces,
            chance=random.Random(self.chance.getrandbits(64)),  # noqa: S311
        )

    def _beginner(self, fault: Fault) -> "End":
        def begin() -> None:
            self.tell(f"FAULT {fault}")
            self.landmark(f"fault {fault.kind}")
            end = do(self, fault)
            self._ends.append(end)
            self.calendar.after(fault.for_ms * US_PER_MS, lambda: self._finish_fault(fault, end))

        return begin

    def _finish_fault(self, fault: Fault, end: "End") -> None:
        if end in self._ends:
            self._ends.remove(end)
            self.tell(f"over: {fault}")
            end()

    def _heal(self) -> None:
        """End every fault that still lasts."""
        self.tell("everything is well from here on")
        ends, self._ends = self._ends[::-1], []
        for end in ends:
            end()

    def _talker(self, client: ClientHost) -> "End":
        """Return what lets a client's applications talk a little, and again later."""

        def talk() -> None:
            for step in range(BURST):
                self.calendar.after(step * BURST_SPACING_US, lambda: self._exchange(client))
            self.calendar.after(self.chance.randrange(200, 3_000) * US_PER_MS, talk)

        return talk

    def _look_at_pulses(self) -> None:
        """Find clients that stand attached and are not, once each."""
        for client in self.clients:
            text = self._pulse.lifeless(client, now=self.calendar.now)
            if text is not None and client.number not in self._lifeless:
                self._lifeless.add(client.number)
                self.broken(text)
        self.calendar.after(LOOK_AT_PULSE_US, self._look_at_pulses)

    def _exchange(self, client: ClientHost) -> None:
        """Let one packet go each way."""
        if not client.addresses or client.process is None:
            return
        for way, process in ((Way.UP, client.process), (Way.DOWN, self.gateway.process)):
            size = self.chance.choice((40, 200, 1_200))
            # What is sent to an address that another session has by now is that one's.
            mine = way is Way.UP or self._holder(client.addresses[0]) == f"client{client.number}"
            if process is not None and mine:
                self._packets[client.number, way] += 1
                packet = client.number, way, self._packets[client.number, way]
                process.read(inner_packet(packet, client.addresses[0], size))

    def _holder(self, address: str) -> str | None:
        """Return whose session has an inner address now."""
        for book in self.ledgers.books.values():
            record = book.record
            live = record is not None and record.session.state is not State.TERMINATED
            if record is not None and live and address in record.addresses:
                return record.client_name
        return None

    def _granted(self, client: int) -> Sequence[str]:
        name = f"client{client}"
        books = (book.record for book in self.ledgers.books.values())
        return [
            address
            for record in books
            if record is not None and record.client_name == name
            for address in record.addresses
        ]

    def _end(self) -> None:
        moved = [name for name in self.report.landmarks if CHANGED in name]
        if moved and not self.scenario.faults:
            self.broken(f"nothing happened to any session, and yet: {', '.join(sorted(moved))}")
        for client in self.clients:
            client.wanted = False
            client.kill()
        for process in (self.gateway.process, *(client.process for client in self.clients)):
            for text in process.loop.failures if process is not None else ():
                self.broken(f"{text} in {process.name if process else ''}")
        self.gateway.kill()
        self.report.digest = self._trace.hexdigest()

    def _now_ms(self) -> float:
        return self.calendar.now / US_PER_MS


def play(scenario: Scenario, *, telling: bool = False) -> Report:
    """Let a scenario happen in a world of its own."""
    with tempfile.TemporaryDirectory(dir=workplace().name) as directory:
        return World(scenario, directory=Path(directory), telling=telling).run()


def _source_of(inner: bytes) -> str:
    return ".".join(str(byte) for byte in inner[12:16])


def _plain(addresses: Sequence[str]) -> list[str]:
    return [address.partition("/")[0] for address in addresses]
