"""Running data planes: each order is one short call, facts are awaited in batches.

What an order means is written in `_native.pyi`. Orders raise `LookupError` when what they name is
gone from the data plane, and `RuntimeError` when the data plane is closed or has failed.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from jumping_vpn._native import DataPlane, Keys, Limits
from jumping_vpn.core.facts import Fact
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Derived
from jumping_vpn.dataplane.facts import facts_of

BATCH_MAX: Final = 512
US_PER_MS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PathView:
    """One path of a client as it looks now."""

    path: int
    active: bool
    up: bool
    srtt_us: int
    jitter_us: int
    base_rtt_us: int
    loss_in: float
    loss_out: float
    bytes_in: int
    bytes_out: int
    packet_size: int


class Plane:
    """What both roles have: a packet loop that runs between `start` and `close`."""

    def __init__(self, native: DataPlane) -> None:
        self._native = native

    def __enter__(self) -> Self:
        self._native.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the packet loop."""
        self._native.start()

    def close(self) -> None:
        """Send what is queued and stop the packet loop; a second call does nothing."""
        self._native.close()

    async def facts(self, limit: int = BATCH_MAX) -> tuple[Fact, ...]:
        """Wait until there are facts and return the oldest, at most `limit` of them."""
        while True:
            # Draining clears the descriptor first and rings it again for what stays behind, so that
            # no fact is missed and none starves the event loop.
            batch = self._native.drain(min(limit, BATCH_MAX))
            if batch:
                return facts_of(batch)
            await self._readable()

    def open_tun(self, name: str, mtu: int) -> str:
        """Create the TUN device and return its name."""
        return self._native.open_tun(name, mtu)

    def extend_fence(self, until_us: int) -> None:
        """Forward until this time of the monotonic clock, in microseconds."""
        self._native.extend_fence(until_us)

    def counters(self) -> dict[str, int]:
        """Return every counter of the data plane."""
        return self._native.counters()

    def set_limits(self, number: int, policy: Policy) -> None:
        """Keep a session by another policy."""
        self._native.set_limits(number, limits_of(policy))

    def send_message(self, number: int, message: bytes) -> bool:
        """Send a control message on the session's binding; False where it has none."""
        return self._native.send_message(number, message)

    def drop_binding(self, number: int, epoch: int) -> None:
        """Give up the binding `epoch`; packets wait from now on."""
        self._native.drop_binding(number, epoch)

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        # The reader lives as long as somebody waits: an unread descriptor must not wake the loop.
        descriptor = self._native.event_fd()
        loop.add_reader(descriptor, _settle, ready)
        try:
            await ready
        finally:
            loop.remove_reader(descriptor)


class GatewayPlane(Plane):
    """The data plane of a gateway node."""

    def __init__(self, native: DataPlane) -> None:
        super().__init__(native)
        self._flushing = False

    @classmethod
    def create(cls, keys: Keys, *, node: int, incarnation: int, capacity: int) -> Self:
        """Make the data plane of this node's `incarnation`-th start, for `capacity` bindings."""
        return cls(DataPlane.gateway(keys, node=node, incarnation=incarnation, capacity=capacity))

    def listen(self, address: str, port: int) -> int:
        """Listen on an address of one IP version and return the port."""
        return self._native.listen(address, port)

    def allow_clients(self, publics: Sequence[bytes]) -> None:
        """Answer the handshakes of these clients and of no others."""
        self._native.allow_clients(list(publics))

    def set_isolation(self, *, isolated: bool) -> None:
        """Forward packets from client to client, or drop them."""
        self._native.set_isolation(isolated)

    def seal_birth(self, birth: int) -> bytes:
        """Return the first root of a birth, sealed for the record."""
        return self._native.seal_birth(birth)

    def adopt_birth(
        self, birth: int, number: int, addresses: Sequence[str], policy: Policy
    ) -> None:
        """Make a birth the session `number`, whose record is saved."""
        self._native.adopt_birth(birth, number, list(addresses), limits_of(policy))

    def grant(self, number: int, message: bytes) -> bool:
        """Send HANDSHAKE_ACK; False where the session has no binding."""
        return self._native.grant(number, message)

    def reject_birth(self, birth: int, message: bytes) -> None:
        """Send HANDSHAKE_REJECT and forget the birth."""
        self._native.reject_birth(birth, message)

    def install(  # noqa: PLR0913, PLR0917  a session's record has as many parts
        self,
        number: int,
        session_id: bytes,
        confirmed: tuple[int, bytes],
        unconfirmed: tuple[int, bytes] | None,
        addresses: Sequence[str],
        policy: Policy,
    ) -> None:
        """Hold a session from the store, without binding, window or counter."""
        self._native.install(
            number, session_id, confirmed, unconfirmed, list(addresses), limits_of(policy)
        )

    def holds(self, number: int) -> bool:
        """Say whether the session is installed."""
        return self._native.holds(number)

    def release(self, number: int) -> None:
        """Erase a session."""
        self._native.release(number)

    def freeze(self, number: int) -> None:
        """Forward nothing of a session until it is installed again."""
        self._native.freeze(number)

    def derive(self, token: int, epoch: int, owner: int, *, ids: int) -> Derived:
        """Derive the binding that a request would make, and fresh lookup ids; installs nothing."""
        sealed, given_up, in_doubt, window_lost, counter_lost, fresh = self._native.derive(
            token, epoch, owner, ids
        )
        return Derived(
            sealed=sealed,
            given_up=given_up,
            in_doubt=in_doubt,
            window_lost=window_lost,
            counter_lost=counter_lost,
            lookup_ids=tuple(fresh),
        )

    def bind(self, token: int, *, keep_previous: bool) -> None:
        """Install the derived binding as unconfirmed."""
        self._native.bind(token, keep_previous)

    def respond(self, token: int, message: bytes) -> None:
        """Answer a request, before the event loop's next turn.

        A commit of the store ends the wait of many requests at once. Their answers leave together:
        waking the packet loop for each of them costs more than making it.
        """
        self._native.respond(token, message)
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._native.flush()

    def repeat_answer(self, token: int) -> bool:
        """Send the remembered answer of the same request; False where it is not in memory."""
        return self._native.repeat_answer(token)

    def forget(self, token: int) -> None:
        """Drop a request without an answer."""
        self._native.forget(token)

    def session_gone(self, token: int) -> None:
        """Tell a request's sender that the session is over."""
        self._native.session_gone(token)

    def session_found(self, token: int) -> None:
        """Open a stashed request again after its session was installed."""
        self._native.session_found(token)

    def lookup_ids(self, number: int, count: int) -> tuple[bytes, ...]:
        """Return fresh lookup ids of a session."""
        return tuple(self._native.lookup_ids(number, count))


class ClientPlane(Plane):
    """The data plane of a client's one session."""

    @classmethod
    def create(cls, keys: Keys, *, gateway_public: bytes) -> Self:
        """Make the data plane of a client that knows its gateway by this key."""
        return cls(DataPlane.client(keys, gateway_public=gateway_public))

    def restore(self, session_id: bytes, epoch: int, sealed: bytes, policy: Policy) -> None:
        """Take up a session from its state file, without binding, window or counter."""
        self._native.restore(session_id, epoch, sealed, limits_of(policy))

    def open_path(self, path: int, interface: str, remote: str, port: int, mark: int) -> None:
        """Open a socket from `interface` to a gateway's endpoint; OSError where there is no way."""
        self._native.open_path(path, interface, remote, port, mark)

    def close_path(self, path: int) -> None:
        """Close a path's socket."""
        self._native.close_path(path)

    def start_handshake(self, path: int) -> None:
        """Begin a session over this path; repeated until it is answered or stopped."""
        self._native.start_handshake(path)

    def stop_handshake(self) -> None:
        """Give the handshake up."""
        self._native.stop_handshake()

    def seal_root(self) -> bytes:
        """Return the sealed root of the current binding for the state file."""
        return self._native.seal_root()

    def request(
        self, attempt: int, candidates: Sequence[tuple[int, bytes, bytes]], *, early: bool
    ) -> None:
        """Send one attempt, (path, lookup id, message) each, until answered or withdrawn."""
        self._native.request(attempt, list(candidates), early)

    def withdraw(self) -> None:
        """Stop repeating the attempt."""
        self._native.withdraw()

    def adopt(self, token: int, epoch: int, owner: int) -> bytes:
        """Derive the next root from a response and return it sealed; installs nothing."""
        return self._native.adopt(token, epoch, owner)

    def activate(self, token: int) -> tuple[int, int, int]:
        """Install the adopted binding; return how many packets were resent, given up, in doubt."""
        return self._native.activate(token)

    def probe(self, path: int, lookup_id: bytes, interval_us: int) -> None:
        """Probe a path at this interval; 0 stops."""
        self._native.probe(path, lookup_id, interval_us)

    def paths(self) -> tuple[PathView, ...]:
        """Return every open path with its figures."""
        return tuple(
            PathView(
                path=path,
                active=active,
                up=up,
                srtt_us=srtt_us,
                jitter_us=jitter_us,
                base_rtt_us=base_rtt_us,
                loss_in=loss_in,
                loss_out=loss_out,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                packet_size=packet_size,
            )
            for (
                path,
                active,
                up,
                srtt_us,
                jitter_us,
                base_rtt_us,
                loss_in,
                loss_out,
                bytes_in,
                bytes_out,
                packet_size,
            ) in self._native.paths()
        )

    def erase(self) -> None:
        """Erase every secret of the session."""
        self._native.erase()


def limits_of(policy: Policy) -> Limits:
    """Return the part of a policy that the data plane executes."""
    return Limits(
        heartbeat_us=policy.heartbeat_interval * US_PER_MS,
        heartbeat_idle_us=policy.heartbeat_idle * US_PER_MS,
        dead_after_misses=policy.dead_after_misses,
        false_deaths_per_day=policy.false_death_budget,
        peer_silence_us=policy.peer_silence_max * US_PER_MS,
        loss_window_us=policy.loss_window * US_PER_MS,
        loss_threshold=policy.loss_threshold,
        latency_factor=policy.latency_factor,
        jitter_factor=policy.jitter_factor,
        latency_floor_us=policy.latency_floor * US_PER_MS,
        replay_window=policy.replay_window,
        retain_time_us=policy.retain_time * US_PER_MS,
        retain_bytes=policy.retain_bytes,
    )


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
