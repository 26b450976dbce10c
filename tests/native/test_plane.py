"""Two data planes over the loopback interface, ordered by hand: birth, grant, jump."""

import asyncio
import errno
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime_ns
from typing import TypeVar

import pytest

from jumping_vpn.core.facts import (
    BindingConfirmed,
    BirthProven,
    Fact,
    HandshakeDone,
    MessageReceived,
    PathAnswered,
    ReattachRequested,
    ResponseOpened,
)
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.dataplane.keys import (
    create_gateway_keys,
    load_client_keys,
    load_gateway_keys,
    write_client_config,
)
from jumping_vpn.dataplane.plane import ClientPlane, GatewayPlane, Plane

pytestmark = pytest.mark.native

NODE = 7
NUMBER = 41
PATH = 3
ADDRESS = "10.77.0.2"
F = TypeVar("F", bound=Fact)


class Pair:
    """A gateway and a client whose session is born."""

    def __init__(self, gateway: GatewayPlane, client: ClientPlane) -> None:
        self.gateway = gateway
        self.client = client

    async def be_born(self) -> BirthProven:
        self.client.start_handshake(PATH)
        done = await find(self.client, HandshakeDone)
        assert done.path == PATH
        assert self.client.send_message(0, b"please")
        return await find(self.gateway, BirthProven)

    async def be_adopted(self) -> bytes:
        """Return the session's id."""
        birth = await self.be_born()
        self.gateway.adopt_birth(birth.birth, NUMBER, [ADDRESS], Policy())
        assert self.gateway.grant(NUMBER, b"granted")
        granted = await find(self.client, MessageReceived)
        assert (granted.epoch, granted.message) == (1, b"granted")
        return birth.session_id


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        public = create_gateway_keys(tmp_path)
        config = tmp_path / "client.toml"
        config.touch(mode=0o600)
        with config.open("wb") as file:
            client_public = write_client_config(file.fileno(), 'private_key = "@PRIVATE_KEY@"\n')
        keys, _ = load_client_keys(config)
        gateway = GatewayPlane.create(
            load_gateway_keys(tmp_path), node=NODE, incarnation=1, capacity=64
        )
        stack.enter_context(gateway)
        client = stack.enter_context(ClientPlane.create(keys, gateway_public=public))
        port = gateway.listen("127.0.0.1", 0)
        gateway.allow_clients([client_public])
        client.open_path(PATH, "", "127.0.0.1", port, 0)
        for plane in (gateway, client):
            plane.extend_fence(clock_gettime_ns(CLOCK_BOOTTIME) // 1000 + 60_000_000)
        yield Pair(gateway, client)


async def test_a_session_is_born_granted_and_jumps(pair: Pair) -> None:
    gateway, client = pair.gateway, pair.client
    await pair.be_adopted()
    assert client.seal_root()

    (lookup_id,) = gateway.lookup_ids(NUMBER, 1)
    client.request(1, [(PATH, lookup_id, b"let me jump")], early=True)
    request = await find(gateway, ReattachRequested)
    assert (request.number, request.attempt, request.message) == (NUMBER, 1, b"let me jump")
    derived = gateway.derive(request.token, 2, NODE, ids=3)
    assert len(set(derived.lookup_ids)) == 3
    gateway.bind(request.token, keep_previous=True)
    gateway.respond(request.token, b"jump")

    response = await find(client, ResponseOpened)
    assert (response.path, response.attempt, response.message) == (PATH, 1, b"jump")
    assert client.adopt(response.token, 2, NODE) != derived.sealed
    assert client.activate(response.token) == (0, 0, 0)

    confirmed = await find(gateway, BindingConfirmed)
    assert (confirmed.number, confirmed.epoch) == (NUMBER, 2)
    assert gateway.send_message(NUMBER, b"welcome")
    assert (await find(client, MessageReceived)).message == b"welcome"


async def test_a_restarted_gateway_takes_a_session_up_from_its_sealed_root(
    pair: Pair, tmp_path: Path
) -> None:
    birth = await pair.be_born()
    sealed = pair.gateway.seal_birth(birth.birth)
    pair.gateway.close()

    keys = load_gateway_keys(tmp_path)
    with GatewayPlane.create(keys, node=NODE, incarnation=2, capacity=64) as gateway:
        gateway.install(NUMBER, birth.session_id, (1, sealed), None, [ADDRESS], Policy())

        assert gateway.holds(NUMBER)
        assert not gateway.send_message(NUMBER, b"there is no binding yet")
        with pytest.raises(ValueError, match="forged"):
            gateway.install(8, birth.session_id, (2, sealed), None, [], Policy())
        gateway.release(NUMBER)
        assert not gateway.holds(NUMBER)


async def test_a_probed_path_answers_and_shows_its_figures(pair: Pair) -> None:
    await pair.be_adopted()
    (lookup_id,) = pair.gateway.lookup_ids(NUMBER, 1)

    pair.client.probe(PATH, lookup_id, 10_000)
    answered = await find(pair.client, PathAnswered)

    (view,) = pair.client.paths()
    assert answered.path == view.path == PATH
    assert view.active
    assert view.bytes_in > 0


async def test_an_order_about_what_is_gone_says_so(pair: Pair) -> None:
    with pytest.raises(LookupError):
        pair.gateway.derive(99, 1, NODE, ids=0)
    with pytest.raises(LookupError):
        pair.gateway.seal_birth(99)
    with pytest.raises(LookupError):
        pair.client.activate(99)
    assert not pair.gateway.grant(99, b"nobody")
    pair.gateway.forget(99)


async def test_a_path_that_the_kernel_refuses_is_an_error_with_its_number(pair: Pair) -> None:
    with pytest.raises(OSError, match="No such device") as refused:
        pair.client.open_path(4, "nowhere0", "127.0.0.1", 9, 0)

    assert refused.value.errno == errno.ENODEV


async def test_a_closed_plane_ends_the_wait_and_refuses_orders(pair: Pair) -> None:
    waiting = asyncio.ensure_future(pair.client.facts())
    await asyncio.sleep(0)

    pair.client.close()
    pair.client.close()

    with pytest.raises(RuntimeError, match="closed"):
        await waiting
    with pytest.raises(RuntimeError, match="closed"):
        pair.client.withdraw()


async def test_a_wait_that_is_cancelled_leaves_nothing_behind(pair: Pair) -> None:
    waiting = asyncio.ensure_future(pair.client.facts())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await pair.be_born()


async def test_orders_of_the_other_role_are_refused(tmp_path: Path) -> None:
    create_gateway_keys(tmp_path)
    with GatewayPlane.create(
        load_gateway_keys(tmp_path), node=NODE, incarnation=1, capacity=8
    ) as gateway:
        other = ClientPlane(gateway._native)

        with pytest.raises(RuntimeError, match="client"):
            other.seal_root()


def test_addresses_and_lengths_are_checked(pair: Pair) -> None:
    with pytest.raises(ValueError, match="no IP address"):
        pair.gateway.listen("example", 0)
    with pytest.raises(ValueError, match="expected 32 bytes, found 3"):
        pair.gateway.allow_clients([b"key"])
    with pytest.raises(ValueError, match="expected 16 bytes, found 1"):
        pair.client.probe(PATH, b"i", 0)


def test_counters_name_the_loop_and_the_engine(pair: Pair) -> None:
    counters = pair.gateway.counters()

    assert {"datagrams_in", "tun_refused", "sealed", "forged"} <= counters.keys()


async def find(plane: Plane, kind: type[F]) -> F:
    """Return the first fact of this kind, whatever comes before it."""
    async with asyncio.timeout(10):
        while True:
            for fact in await plane.facts():
                if isinstance(fact, kind):
                    return fact
