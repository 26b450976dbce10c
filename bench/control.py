"""Control path of a reattach by itself: driver, core, SQLite store and log; no packets, no keys.

Run with PYTHONPATH=python:tests. The data plane is a stub whose clients ask again as soon as others
have had their turn, so the figure is the processor time of everything but the data plane, with the
few microseconds that it takes to encode a request. Prints one JSON line for each reason to jump.
"""

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections import deque
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from jumping_vpn.core.facts import BindingConfirmed, Fact, ReattachRequested
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Derived
from jumping_vpn.core.wire import messages as m
from jumping_vpn.core.wire.codec import encode
from jumping_vpn.observe.exporter import Exporter
from jumping_vpn.store.sqlite import SqliteStore
from support.gateways import NotingPlane, birth, candidate, running, session_id, until

SESSIONS: Final = 512
UNDER_WAY: Final = 64
WARM_UP: Final = 2_000
JUMPS: Final = 6_000
POLICY: Final = Policy(
    max_switches_per_minute=600, switch_cooldown=Millis(0), reattach_rate=1000, reattach_burst=1000
)
SEALED: Final = bytes(61)


class Client:
    """What a client knows when it asks."""

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.session_id = session_id(seed)
        self.version, self.epoch, self.attempt = 1, 1, 0


class StubPlane(NotingPlane):
    """Confirms each binding at once, and then lets the client that rested longest ask."""

    def __init__(self) -> None:
        super().__init__([])
        self.clients: dict[int, Client] = {}
        self.resting: deque[Client] = deque()
        self.trigger = m.Trigger.PLANNED
        self.answered = 0
        self.left = self.wanted = 0
        self.waiting: list[Fact] = []
        self.news = asyncio.Event()
        self.done = asyncio.Event()

    async def facts(self, limit: int) -> list[Fact]:
        """Return what happened since the last time, as a batch."""
        await self.news.wait()
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        if not self.waiting:
            self.news.clear()
        return taken

    def tell(self, fact: Fact) -> None:
        """Have a fact be found."""
        self.waiting.append(fact)
        self.news.set()

    def ask(self) -> None:
        """Let the client that rested longest ask for a binding."""
        client = self.resting.popleft()
        client.attempt += 1
        death = self.trigger is m.Trigger.DEATH
        message = m.Envelope(
            session_id=client.session_id,
            state_version=client.version,
            binding_epoch=client.epoch,
            ts_ms=time.time_ns() // 1_000_000,
            sequence=client.attempt,
            payload=m.ReattachRequest(
                trigger=self.trigger,
                cause="HEARTBEAT_TIMEOUT" if death else None,
                candidate=candidate(1),
                policy_version=1,
                unused_lookup_ids=7,
            ),
        )
        self.tell(
            ReattachRequested(
                token=client.number,
                number=client.number,
                proven_by_epoch=client.epoch,
                attempt=client.attempt,
                digest=client.attempt.to_bytes(32, "big"),
                source="198.51.100.7:5001",
                source_verified=True,
                srtt_us=20_000,
                sent_up_to=0,
                window_lost=False,
                counter_lost=False,
                in_doubt=0,
                given_up=0,
                message=encode(message),
            )
        )

    def derive(self, token: int, epoch: int, owner: int, *, ids: int) -> Derived:  # noqa: ARG002  as the plane's
        """Return a root's stand-in."""
        return Derived(sealed=SEALED)

    def bind(self, token: int, *, keep_previous: bool) -> None:  # noqa: ARG002  as the plane's
        """Note the client's new version and epoch."""
        client = self.clients[token]
        client.version += 2 if self.trigger is m.Trigger.DEATH else 1
        client.epoch += 1

    def respond(self, token: int, message: bytes) -> None:  # noqa: ARG002  as the plane's
        """Confirm the binding, and let the next client ask while there are jumps left."""
        client = self.clients[token]
        self.answered += 1
        self.tell(BindingConfirmed(number=client.number, epoch=client.epoch))
        self.resting.append(client)
        if self.left:
            self.left -= 1
            self.ask()
        elif self.answered == self.wanted:
            self.done.set()

    async def jump(self, count: int) -> None:
        """Return when so many more jumps were answered."""
        self.wanted = self.answered + count
        self.left = count - UNDER_WAY
        self.done.clear()
        for _ in range(UNDER_WAY):
            self.ask()
        await self.done.wait()


async def measure(directory: Path) -> None:
    """Print the figures of each reason to jump."""
    plane = StubPlane()
    async with AsyncExitStack() as stack:
        store = await SqliteStore.open(directory / "sessions.db")
        stack.push_async_callback(store.close)
        bench = await stack.enter_async_context(running(store, plane=plane, policy=POLICY))
        exporter = Exporter(store, directory / "events.jsonl", lambda *_: None)
        stack.callback(asyncio.create_task(exporter.run()).cancel)
        for seed in range(1, SESSIONS + 1):
            plane.tell(birth(seed))
        await until(lambda: len(bench.driver.records) == SESSIONS)
        for record in bench.driver.records:
            seed = int.from_bytes(record.session.session_id, "big")
            plane.clients[record.number] = Client(record.number, seed)
        plane.resting.extend(plane.clients.values())
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        for trigger in (m.Trigger.PLANNED, m.Trigger.DEATH):
            plane.trigger = trigger
            await plane.jump(WARM_UP)
            cpu, own = time.process_time(), time.thread_time()
            wall = time.monotonic()
            await plane.jump(JUMPS)
            own, cpu = time.thread_time() - own, time.process_time() - cpu
            figures = {
                "bench": "control",
                "trigger": trigger.value,
                "cpu_us_per_jump": round(cpu / JUMPS * 1e6, 1),
                "loop_us_per_jump": round(own / JUMPS * 1e6, 1),
                "jumps_per_s": round(JUMPS / (time.monotonic() - wall)),
            }
            print(json.dumps(figures), flush=True)


def main() -> int:
    """Measure in a directory of its own."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(Path(directory)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
