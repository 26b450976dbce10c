"""What an operator may ask of a running gateway, over its control socket."""

import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from jumping_vpn import __version__
from jumping_vpn.core.commands import Terminate
from jumping_vpn.core.ids import SessionNumber
from jumping_vpn.core.record import Record
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.gateway import config
from jumping_vpn.gateway.driver import GatewayDriver
from jumping_vpn.gateway.plane import Plane
from jumping_vpn.gateway.status import Counters, Done, NodeStatus, Sessions, sessions
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.control import Declined, Request
from jumping_vpn.store.contract import Store
from jumping_vpn.system.settings import ConfigError

Reply: TypeAlias = Sessions | NodeStatus | Counters | Done | Declined


class Clients:
    """The clients that this gateway knows, as their files said when they were last read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._names: dict[bytes, str] = {}
        self.read()

    @property
    def publics(self) -> list[bytes]:
        """The public keys that are allowed."""
        return list(self._names)

    def read(self) -> None:
        """Read the files again: all of them, or ConfigError and none."""
        named = config.load_clients(self._directory)
        self._names = {public: name for name, public in named.items()}

    def name_of(self, public: bytes) -> str | None:
        """Return the name of an allowed client, None for any other."""
        return self._names.get(public)


class Operation:
    """Answers the control socket."""

    def __init__(  # noqa: PLR0913  its parts
        self,
        *,
        driver: GatewayDriver,
        plane: Plane,
        store: Store,
        clients: Clients,
        clock: Clock,
        node: int,
        incarnation: int,
    ) -> None:
        self._driver = driver
        self._plane = plane
        self._store = store
        self._clients = clients
        self._clock = clock
        self._node = node
        self._incarnation = incarnation
        self._started = clock.now()

    async def answer(self, request: Request) -> Reply:
        """Answer one request."""
        match request.command:
            case "sessions":
                now, wall_ms = self._clock.now(), self._clock.wall_ms()
                return sessions(self._driver.records, now=now, wall_ms=wall_ms)
            case "status":
                return self._status()
            case "counters":
                return Counters(plane=self._plane.counters(), driver=asdict(self._driver.tally))
            case "terminate":
                return await self._terminate(request.argument)
            case "reload":
                return await self._reload()
        return Declined(reason="UNKNOWN_COMMAND", text=f"no command {request.command!r}")

    def _status(self) -> NodeStatus:
        states = Counter(str(record.session.state) for record in self._driver.records)
        return NodeStatus(
            node=self._node,
            incarnation=self._incarnation,
            version=__version__,
            pid=os.getpid(),
            running_ms=self._clock.now() - self._started,
            sessions=states.total(),
            by_state=dict(sorted(states.items())),
            observations_dropped=self._store.observations_dropped,
        )

    async def _terminate(self, wanted: str) -> Done | Declined:
        found = self._named(wanted)
        if isinstance(found, Declined):
            return found
        await self._driver.order(found.number, Terminate(reason=Reason.OPERATOR_REQUEST))
        if found.number in {record.number for record in self._driver.records}:
            return Declined(
                reason="STORE_UNAVAILABLE",
                text="the session goes on: the store could not make its end durable",
            )
        return Done(text=f"session {found.session.session_id.hex()} is terminated")

    def _named(self, wanted: str) -> Record | Declined:
        """Return the one session whose id begins so, or that belongs to the client of this name."""
        wanted = wanted.strip()
        found = [
            record
            for record in self._driver.records
            if wanted
            and (record.session.session_id.hex().startswith(wanted) or record.client_name == wanted)
        ]
        if len(found) == 1:
            return found[0]
        if not found:
            return Declined(reason="NO_SUCH_SESSION", text=f"no session is called {wanted!r}")
        return Declined(reason="AMBIGUOUS", text=f"{len(found)} sessions are called {wanted!r}")

    async def _reload(self) -> Done | Declined:
        """Read the clients again; who is allowed no more loses its session."""
        try:
            self._clients.read()
        except ConfigError as error:
            return Declined(reason="CONFIG_REFUSED", text=str(error))
        self._plane.allow_clients(self._clients.publics)
        barred: list[SessionNumber] = [
            record.number
            for record in self._driver.records
            if self._clients.name_of(record.client_public) is None
        ]
        for number in barred:
            await self._driver.order(number, Terminate(reason=Reason.POLICY_TERMINATION))
        count = len(self._clients.publics)
        return Done(text=f"{count} clients are allowed, {len(barred)} sessions ended")
