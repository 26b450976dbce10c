"""A gateway's driver around the real role and the memory store; its data plane takes notes."""
# ruff: noqa: ARG002, PLR0917

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from jumping_vpn.core.desk import GatewaySettings
from jumping_vpn.core.events import Origin
from jumping_vpn.core.facts import BirthProven, Fact, ReattachRequested
from jumping_vpn.core.gateway import GatewayCore
from jumping_vpn.core.ids import NodeId, SessionId, SessionNumber
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Derived, Save
from jumping_vpn.core.record import Record
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import decode, encode
from jumping_vpn.gateway.addresses import AddressBook
from jumping_vpn.gateway.driver import GatewayDriver
from jumping_vpn.gateway.orders import Orders
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.crew import Crew
from jumping_vpn.service.log import NodeLog
from jumping_vpn.store.contract import Store, StoreUnavailable
from jumping_vpn.store.memory import MemoryStore
from jumping_vpn.system.settings import Subnet

ENDPOINT = "203.0.113.1:4789"
CLIENT = b"c" * 32


class NotingStore(MemoryStore):
    """The memory store; it writes down each save and can be told to fail, or to wait."""

    def __init__(self, notes: list[str]) -> None:
        super().__init__()
        self.notes = notes
        self.unavailable = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.under_way = 0
        self.most_under_way = 0

    async def create(self, save: Save) -> SessionNumber:
        await self._pass("create")
        return await super().create(save)

    async def save(self, save: Save) -> None:
        await self._pass("save")
        await super().save(save)

    async def touch(self, record: Record) -> None:
        await self._pass("touch")
        await super().touch(record)

    async def _pass(self, what: str) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        if self.unavailable:
            raise StoreUnavailable("the disk is full")
        self.notes.append(what)


class NotingPlane:
    """Takes facts from a test and writes down each order that it is given."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes
        self.queue: asyncio.Queue[Fact] = asyncio.Queue()
        self.answers: dict[int, m.Envelope] = {}
        self.messages: list[tuple[int, m.Envelope]] = []
        self.lost_tokens: set[int] = set()
        self.installed: dict[int, bytes] = {}

    async def facts(self, limit: int) -> Sequence[Fact]:
        found = [await self.queue.get()]
        while len(found) < limit and not self.queue.empty():
            found.append(self.queue.get_nowait())
        return found

    def extend_fence(self, until_us: int) -> None:
        pass

    def counters(self) -> dict[str, int]:
        return {}

    def allow_clients(self, publics: Sequence[bytes]) -> None:
        self.notes.append(f"allow {len(publics)}")

    def seal_birth(self, birth: int) -> bytes:
        self.notes.append("seal_birth")
        return b"root of birth %d" % birth

    def derive(self, token: int, epoch: int, owner: int, *, ids: int) -> Derived:
        if token in self.lost_tokens:
            raise KeyError(token)
        self.notes.append("derive")
        return Derived(sealed=b"root %d of %d" % (epoch, token), lookup_ids=self.lookup_ids(0, ids))

    def lookup_ids(self, number: int, count: int) -> tuple[bytes, ...]:
        return tuple(bytes([index]) * 16 for index in range(count))

    def install(
        self,
        number: int,
        session_id: bytes,
        confirmed: tuple[int, bytes],
        unconfirmed: tuple[int, bytes] | None,
        addresses: Sequence[str],
        policy: Policy,
    ) -> None:
        self.notes.append("install")
        self.installed[number] = session_id

    def adopt_birth(
        self, birth: int, number: int, addresses: Sequence[str], policy: Policy
    ) -> None:
        self.notes.append("adopt_birth")
        self.installed[number] = b"birth"

    def bind(self, token: int, *, keep_previous: bool) -> None:
        self.notes.append("bind")

    def drop_binding(self, number: int, epoch: int) -> None:
        self.notes.append("drop_binding")

    def release(self, number: int) -> None:
        self.notes.append("release")
        del self.installed[number]

    def set_limits(self, number: int, policy: Policy) -> None:
        self.notes.append("set_limits")

    def respond(self, token: int, message: bytes) -> None:
        self.notes.append("respond")
        self.answers[token] = decode(message)

    def repeat_answer(self, token: int) -> bool:
        self.notes.append("repeat_answer")
        return token in self.answers

    def forget(self, token: int) -> None:
        self.notes.append("forget")

    def session_gone(self, token: int) -> None:
        self.notes.append("session_gone")

    def session_found(self, token: int) -> None:
        self.notes.append("session_found")

    def grant(self, number: int, message: bytes) -> bool:
        self.notes.append("grant")
        self.messages.append((number, decode(message)))
        return True

    def reject_birth(self, birth: int, message: bytes) -> None:
        self.notes.append("reject_birth")
        self.answers[birth] = decode(message)

    def send_message(self, number: int, message: bytes) -> bool:
        self.notes.append("send_message")
        self.messages.append((number, decode(message)))
        return True


@dataclass(kw_only=True)
class Bench:
    """A running driver, and what a test does to it."""

    driver: GatewayDriver
    plane: NotingPlane
    store: Store
    addresses: AddressBook
    notes: list[str] = field(default_factory=list)

    async def give(self, *facts: Fact) -> None:
        """Let the driver take these facts, and wait until it is done with them."""
        before = self.driver.tally.facts
        for fact in facts:
            self.plane.queue.put_nowait(fact)
        await until(lambda: self.driver.tally.facts == before + len(facts))
        await self.driver.quiet()

    def take_notes(self) -> list[str]:
        """Return what was noted since the last time."""
        taken = list(self.notes)
        self.notes.clear()
        return taken

    async def be_born(self, seed: int) -> Record:
        """Let a client be born and return its session's record."""
        await self.give(birth(seed))
        (record,) = (
            each for each in self.driver.records if each.session.session_id == session_id(seed)
        )
        return record


@asynccontextmanager
async def running(
    store: Store | None = None,
    *,
    notes: list[str] | None = None,
    plane: NotingPlane | None = None,
    policy: Policy | None = None,
) -> AsyncIterator[Bench]:
    """Run a driver on this store, or on a new one, for as long as the context lasts."""
    notes = [] if notes is None else notes
    clock = Clock()
    plane = NotingPlane(notes) if plane is None else plane
    store = NotingStore(notes) if store is None else store
    addresses = AddressBook((Subnet("10.77.0.0/16"),))
    origin = Origin(node_id="1", reveal_addresses=True)
    settings = GatewaySettings(
        node_id=NodeId(1),
        incarnation=1,
        started=clock.now(),
        origin=origin,
        policy=policy or Policy(),
        policy_version=1,
        routes=("10.77.0.0/16",),
        dns=(),
        endpoints=(ENDPOINT,),
        mtu=1420,
    )
    core = GatewayCore(settings, allocate=addresses.allocate, name_of=lambda _: "laptop")
    driver = GatewayDriver(
        core=core,
        plane=plane,
        orders=Orders(plane, released=addresses.release),
        store=store,
        log=NodeLog(store, origin, clock, incarnation=1),
        clock=clock,
    )
    for record in await store.all_live():
        assert isinstance(record, Record)
        addresses.hold(record.session.session_id, record.addresses)
        driver.hold(record)
    async with Crew() as crew:
        crew.hire("driver", driver.run())
        yield Bench(driver=driver, plane=plane, store=store, addresses=addresses, notes=notes)


async def until(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until the condition holds."""
    while not condition():  # noqa: ASYNC110  what holds is no event of the code under test
        await asyncio.sleep(0)


def session_id(seed: int) -> SessionId:
    return SessionId(seed.to_bytes(16, "big"))


def birth(seed: int) -> BirthProven:
    """Return a client's first packet."""
    return BirthProven(
        birth=seed,
        session_id=session_id(seed),
        client_public=CLIENT,
        source="198.51.100.7:5000",
        message=encode(
            m.Envelope(
                session_id=session_id(seed),
                state_version=0,
                binding_epoch=0,
                ts_ms=Clock().wall_ms(),
                sequence=1,
                payload=m.HandshakeInit(client_version="test", candidate=candidate(1), policy={}),
            )
        ),
    )


def request(record: Record, *, token: int, attempt: int, proven_by: int = 1) -> ReattachRequested:
    """Return an authentic request of the client after the death of its path."""
    session = record.session
    return ReattachRequested(
        token=token,
        number=record.number,
        proven_by_epoch=proven_by,
        attempt=attempt,
        digest=attempt.to_bytes(32, "big"),
        source="198.51.100.7:5001",
        source_verified=True,
        srtt_us=20_000,
        sent_up_to=0,
        window_lost=False,
        counter_lost=False,
        in_doubt=0,
        given_up=0,
        message=encode(
            m.Envelope(
                session_id=session.session_id,
                state_version=session.version,
                binding_epoch=session.epoch,
                ts_ms=Clock().wall_ms(),
                sequence=attempt,
                payload=m.ReattachRequest(
                    trigger=m.Trigger.DEATH, cause="LINK_DOWN", candidate=candidate(attempt + 1)
                ),
            )
        ),
    )


def candidate(number: int) -> m.Candidate:
    return m.Candidate(id=number, adapter="udp", interface="wlan0", endpoint=ENDPOINT)
