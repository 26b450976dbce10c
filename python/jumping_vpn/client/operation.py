"""What a person may ask of a running client, over its control socket."""

import asyncio
import math
import os
from dataclasses import asdict
from typing import Final, TypeAlias

from jumping_vpn import __version__
from jumping_vpn.client.doubt import doubt_of
from jumping_vpn.client.driver import ClientDriver
from jumping_vpn.client.history import History
from jumping_vpn.client.plane import PathFigures, Plane
from jumping_vpn.client.status import (
    CandidateLine,
    ClientStatus,
    Counters,
    Ended,
    Jumped,
    LastJump,
)
from jumping_vpn.client.tunnel import MachineTunnel
from jumping_vpn.core.client import ClientCore
from jumping_vpn.core.commands import GoDown, OperatorJump
from jumping_vpn.core.event_data import DeniedData
from jumping_vpn.core.events import Event, EventType
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.choice import Candidate
from jumping_vpn.core.session.model import State
from jumping_vpn.service.clock import Clock
from jumping_vpn.service.control import Declined, Request

JUMP_SECONDS_MAX: Final = 9.0
"""Longer than a wish is asked for on a path of common speed, so that its end is known."""
DOWN_SECONDS_MAX: Final = 8.0

Reply: TypeAlias = ClientStatus | Counters | Jumped | Ended | Declined


class Operation:
    """Answers the control socket."""

    def __init__(  # noqa: PLR0913  its parts
        self,
        *,
        name: str,
        core: ClientCore,
        driver: ClientDriver,
        plane: Plane,
        tunnel: MachineTunnel,
        history: History,
        clock: Clock,
    ) -> None:
        self._name = name
        self._core = core
        self._driver = driver
        self._plane = plane
        self._tunnel = tunnel
        self._history = history
        self._clock = clock
        self._started = clock.now()

    async def answer(self, request: Request) -> Reply:
        """Answer one request."""
        match request.command:
            case "status":
                return self._status()
            case "counters":
                return Counters(plane=self._plane.counters(), driver=asdict(self._driver.tally))
            case "jump":
                return await self._jump(request.argument)
            case "down":
                return await self._down()
        return Declined(reason="UNKNOWN_COMMAND", text=f"no command {request.command!r}")

    def _status(self) -> ClientStatus:
        now, wall_ms = self._clock.now(), self._clock.wall_ms()
        view, transport = self._core.view, self._core.transport
        session = None if view is None else view.session
        acknowledged = State.BIRTH if session is None else session.state
        standing, late_ms = self._core.standing, self._core.late_ms(now=now)
        late = standing is not acknowledged
        figures = {each.path: each for each in self._plane.paths()}
        return ClientStatus(
            name=self._name,
            session_id=None if session is None else session.session_id.hex(),
            state=standing,
            acknowledged=acknowledged,
            late_ms=late_ms,
            version=0 if session is None else session.version,
            epoch=0 if session is None else session.epoch,
            transport=None if transport is None else str(transport),
            confirmed=bool(view and view.binding and view.binding.confirmed),
            in_state_ms=late_ms if late else now - self._history.in_state_since,
            interface=self._tunnel.interface,
            addresses=() if view is None else view.addresses,
            routes=() if view is None else view.routes,
            ends_in_ms=None if view is None else max(0, view.session_ends_ms - wall_ms),
            jumps=self._history.jumps,
            last_jump=self._last_jump(now=now),
            candidates=tuple(
                _line(each, figures.get(each.transport.id)) for each in self._core.candidates
            ),
            counters=self._plane.counters(),
            client_version=__version__,
            pid=os.getpid(),
            running_ms=now - self._started,
            doubt=doubt_of(self._core, running_ms=Millis(now - self._started)),
        )

    def _last_jump(self, *, now: Millis) -> LastJump | None:
        last = self._history.last
        if last is None:
            return None
        return LastJump(
            reason=last.reason,
            cause=last.cause,
            transport_before=last.transport_before,
            transport_after=last.transport_after,
            version=last.version,
            epoch=last.epoch,
            ago_ms=now - last.at,
        )

    async def _jump(self, wanted: str) -> Jumped | Declined:
        started, before = self._clock.now(), self._core.transport
        with self._driver.watching() as events:
            await self._driver.order(OperatorJump(transport=wanted or None))
            try:
                async with asyncio.timeout(JUMP_SECONDS_MAX):
                    outcome = await _outcome(events)
            except TimeoutError:
                return Declined(
                    reason="NO_ANSWER",
                    text=f"no jump within {JUMP_SECONDS_MAX:.0f} s, and it may still happen: "
                    "see `jvpn status`",
                )
        if isinstance(outcome.data, DeniedData):
            return Declined(reason=outcome.reason_code, text=_denial(outcome, outcome.data))
        after = self._core.transport
        return Jumped(
            reason=outcome.reason_code,
            transport_before=None if before is None else str(before),
            transport_after=None if after is None else str(after),
            version=outcome.state_version or 0,
            epoch=outcome.binding_epoch or 0,
            took_ms=self._clock.now() - started,
        )

    async def _down(self) -> Ended | Declined:
        await self._driver.order(GoDown())
        try:
            async with asyncio.timeout(DOWN_SECONDS_MAX):
                finish = await self._driver.finished()
        except TimeoutError:
            return Declined(reason="NO_ANSWER", text="the client did not end its session in time")
        return Ended(outcome=finish.outcome, detail=finish.detail)


async def _outcome(events: asyncio.Queue[Event]) -> Event:
    while True:
        event = await events.get()
        if event.event_type in {EventType.TRANSPORT_SWITCH, EventType.SWITCH_DENIED}:
            return event


def _denial(event: Event, data: DeniedData) -> str:
    """Return why a jump does not happen, and from when on it could."""
    meaning = event.reason_code.meaning
    if not data.retry_after_ms:
        return meaning
    seconds = math.ceil(data.retry_after_ms / 100) / 10
    return f"{meaning} Nothing was done. Possible again in {seconds} s"


def _line(candidate: Candidate, figures: PathFigures | None) -> CandidateLine:
    measured = figures is not None and (candidate.measured or figures.srtt_us > 0)
    return CandidateLine(
        transport=str(candidate.transport),
        active=figures is not None and figures.active,
        answering=measured and candidate.loss < 1,
        srtt_us=figures.srtt_us if figures and measured else None,
        jitter_us=figures.jitter_us if figures and measured else None,
        loss_in=figures.loss_in if figures and measured else None,
        loss_out=figures.loss_out if figures and measured else None,
        bytes_in=0 if figures is None else figures.bytes_in,
        bytes_out=0 if figures is None else figures.bytes_out,
        packet_size=figures.packet_size if figures and measured else None,
    )
