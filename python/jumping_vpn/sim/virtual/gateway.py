"""A simulated gateway: the driver, the role and the engine that ship, on a machine of the world."""

import random
from collections.abc import Callable
from typing import Any, Final, Protocol

from jumping_vpn.core.ids import NodeId
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.dataplane.stepped import SteppedGatewayPlane
from jumping_vpn.gateway.config import GatewayConfig, NetworkSettings
from jumping_vpn.gateway.node import Gateway, Node
from jumping_vpn.service.crew import Crew
from jumping_vpn.sim.virtual.calendar import Calendar
from jumping_vpn.sim.virtual.clock import HostClock, ProcessClock
from jumping_vpn.sim.virtual.keys import CLIENTS_MAX, key_ring
from jumping_vpn.sim.virtual.network import Network
from jumping_vpn.sim.virtual.process import Process
from jumping_vpn.sim.virtual.reporter import Deaf
from jumping_vpn.sim.virtual.store import ShakyStore, StoreWeather, Witness
from jumping_vpn.store.contract import StoreError
from jumping_vpn.store.memory import MemoryStore
from jumping_vpn.system.settings import Endpoint, Subnet
from jumping_vpn.system.settings import Network as Subnetwork

ENDPOINT: Final = "203.0.113.1:4789"
SUBNET: Final = "10.77.0.0/24"
LAN: Final = "192.168.50.0/24"
CAPACITY: Final = 256


class GatewayObserver(Protocol):
    """Who sees what comes out of a gateway."""

    def on_lan(self, incarnation: int, inner: bytes, within: bytes | None) -> None:
        """See a packet that was delivered into the LAN."""

    def on_failure(self, who: str, failure: BaseException | None) -> None:
        """See a process that ended by itself."""


class KnownClients:
    """The clients that a gateway knows: everybody. What `Clients` reads from its files."""

    def __init__(self) -> None:
        self._names = {
            keys.public(): f"client{number}" for number, keys in enumerate(key_ring().clients)
        }

    @property
    def publics(self) -> list[bytes]:
        """The public keys that are allowed."""
        return list(self._names)

    def read(self) -> None:
        """Read the files again."""

    def name_of(self, public: bytes) -> str | None:
        """Return the name of an allowed client."""
        return self._names.get(public)


class GatewayHost:
    """The machine of a gateway: what stays there when its process ends."""

    def __init__(  # noqa: PLR0913  what a machine stands in
        self,
        *,
        calendar: Calendar,
        clock: HostClock,
        network: Network,
        durable: MemoryStore,
        store_weather: StoreWeather,
        witness: Witness,
        observer: GatewayObserver,
        policy: Policy,
        chance: random.Random,
    ) -> None:
        self.clock = clock
        self.process: Process | None = None
        self.gateway: Gateway | None = None
        self.policy = policy
        self.starts = 0
        self._calendar = calendar
        self._network = network
        self._durable = durable
        self._store_weather = store_weather
        self._witness = witness
        self._observer = observer
        self._chance = chance
        self._store: ShakyStore | None = None
        self._clients: Any = KnownClients()
        network.gateways[ENDPOINT] = self

    @property
    def runs(self) -> bool:
        """Whether there is a process that has begun to serve."""
        return self.process is not None and self.process.alive and self.gateway is not None

    def start(self) -> None:
        """Start the process, as its manager does."""
        if self.process is not None and self.process.alive:
            return
        self.starts += 1
        store = ShakyStore(
            self._durable,
            self._store_weather,
            self._witness,
            random.Random(self._chance.getrandbits(64)),  # noqa: S311
            lambda: self._calendar.after(0, self.kill),
        )
        clock = ProcessClock(self.clock, self._chance.getrandbits(64))
        seed = self._chance.getrandbits(64)
        process = Process(
            f"gateway.{self.starts}",
            calendar=self._calendar,
            clock=self.clock,
            disk=NoDisk(),
            outside=self,
        )
        self._store, self.process, self.gateway = store, process, None
        process.run(self._serve(process, store, clock, seed))

    def kill(self) -> None:
        """End the process without a word."""
        if self.process is not None:
            self.process.kill()
        if self._store is not None:
            self._store.alive = False
        self.gateway = None

    def arrive(self, path: int | None, remote: str, datagram: bytes) -> None:
        """Put a datagram into the socket."""
        if self.process is not None:
            self.process.arrive(path, remote, datagram)

    def send_failed(self, path: int, errno: int) -> None:
        """Nothing: a gateway's sends go out."""

    def sent(self, path: int | None, remote: str, datagram: bytes) -> None:
        """Give a datagram to the network."""
        del path
        self._network.send_down(ENDPOINT, remote, datagram)

    def delivered(self, inner: bytes, within: bytes | None) -> None:
        """Give an inner packet to the LAN."""
        self._observer.on_lan(self.starts, inner, within)

    def ended(self, failure: BaseException | None) -> None:
        """Note that the process ended by itself, which it should not; another is started."""
        if self.gateway is None and isinstance(failure, StoreError):
            self._witness.landmark("the gateway could not start without its store")
        else:
            self._observer.on_failure("gateway", failure)
        self.gateway = None
        self._calendar.after(1_000_000, self.start)

    async def _serve(
        self, process: Process, store: ShakyStore, clock: ProcessClock, seed: int
    ) -> None:
        incarnation = await store.start_node(NodeId(1))
        node = Node(config=_config(), policy=self.policy, incarnation=incarnation)
        plane = SteppedGatewayPlane.seeded(
            key_ring().gateway, node=1, incarnation=incarnation, capacity=CAPACITY, seed=seed
        )
        process.plane = plane
        gateway = Gateway(node, clients=self._clients, store=store, plane=plane, clock=clock)
        plane.allow_clients(self._clients.publics)
        await gateway.hold_all(Deaf())
        self.gateway = gateway
        async with Crew() as crew:
            crew.hire("lazy", store.keep_lazy())
            await gateway.driver.run()


class NoDisk:
    """The executor of a process that gives no work away."""

    def perform(self, work: Callable[[], object], done: object) -> None:
        """Refuse: a gateway's blocking work is its store's, which is in memory here."""
        raise AssertionError(f"no disk plays here for {work}, which {done} waits for")


def _config() -> GatewayConfig:
    return GatewayConfig(
        endpoints=(Endpoint(ENDPOINT),),
        capacity=CLIENTS_MAX,
        network=NetworkSettings(
            subnets=(Subnet(SUBNET),), routes=(Subnetwork(LAN),), isolate_clients=True
        ),
    )
