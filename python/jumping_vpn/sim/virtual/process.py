"""One process of a machine: its event loop, its data plane, its sockets, and its death.

A turn is what a real process does between two sleeps: it empties its sockets, does what is due,
lets its event loop run until nothing is ready, and sends what came of it. A process that is paused
takes no turn; its sockets fill meanwhile.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from jumping_vpn.dataplane.stepped import Stepped
from jumping_vpn.sim.virtual.calendar import Calendar
from jumping_vpn.sim.virtual.clock import HostClock
from jumping_vpn.sim.virtual.loop import Disk, VirtualLoop

SOCKET_ROOM: Final = 256
"""Datagrams that a socket keeps for a process that does not read."""
ROUNDS_MAX: Final = 10_000
INNER_ROOM: Final = 64


class Outside(Protocol):
    """Where a process's packets go."""

    def sent(self, path: int | None, remote: str, datagram: bytes) -> None:
        """Take a datagram."""

    def delivered(self, inner: bytes, within: bytes | None) -> None:
        """Take an inner packet, and the datagram that brought it, where that is known."""

    def ended(self, failure: BaseException | None) -> None:
        """Hear that the process ended by itself."""


class Process:
    """What lives between a start and an end."""

    def __init__(
        self, name: str, *, calendar: Calendar, clock: HostClock, disk: Disk, outside: Outside
    ) -> None:
        self.name = name
        self.alive = True
        self.plane: Stepped | None = None
        self.loop = VirtualLoop(clock.loop_seconds, disk)
        self._calendar = calendar
        self._clock = clock
        self._outside = outside
        self._main: asyncio.Task[None] | None = None
        self._paused = 0
        self._inbox: deque[tuple[int | None, str, bytes]] = deque()
        self._tun: deque[bytes] = deque()
        self._tun_open = False
        self._failed: list[tuple[int, int]] = []
        self._entered: int | None = None

    @property
    def is_paused(self) -> bool:
        """Whether it takes no turns."""
        return self._paused > 0

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin."""
        self._main = self.loop.create_task(work)
        self.stir()

    def stir(self) -> None:
        """Take a turn as soon as the world comes to it."""
        self._enter(self._calendar.now)

    def arrive(self, path: int | None, remote: str, datagram: bytes) -> None:
        """Put a datagram into a socket's buffer; a full one drops it."""
        if self.alive and self.plane is not None and len(self._inbox) < SOCKET_ROOM:
            self._inbox.append((path, remote, datagram))
            self.stir()

    def read(self, inner: bytes) -> None:
        """Put a packet into the queue of the TUN; a full one drops the oldest."""
        if self.alive and self.plane is not None:
            if len(self._tun) >= INNER_ROOM:
                self._tun.popleft()
            self._tun.append(inner)
            self.stir()

    def send_failed(self, path: int, errno: int) -> None:
        """Note that the kernel refused to send."""
        self._failed.append((path, errno))

    def pause(self) -> None:
        """Take no turn until as many resumes have come."""
        self._paused += 1

    def resume(self) -> None:
        """Go on."""
        self._paused -= 1
        self.stir()

    def kill(self) -> None:
        """End at once, like `kill -9`: nothing that the process still does reaches anyone."""
        if not self.alive:
            return
        self.alive = False
        if self._main is not None:
            self._main.cancel()
            self.loop.run_ready()
        self.loop.failures.clear()
        self.loop.close()

    def _enter(self, when: int) -> None:
        """Come at that instant, unless an earlier one is entered."""
        if self._entered is None or when < self._entered:
            self._entered = when
            self._calendar.at(when, self._come)

    def _come(self) -> None:
        if self._entered != self._calendar.now:
            return
        self._entered = None
        if self.alive and not self._paused:
            self._turn()

    def _turn(self) -> None:
        """Empty the sockets, then let data plane and event loop go on as long as there is work."""
        for _ in range(ROUNDS_MAX):
            self._move_packets()
            ran = self.loop.run_ready()
            if self._main is not None and self._main.done():
                self._end(self._main)
                return
            if not ran:
                break
        self._enter_next()

    def _move_packets(self) -> None:
        """Let the data plane take what arrived and do what is due; ring for its facts."""
        plane = self.plane
        if plane is None:
            return
        stepper, inbox = plane.stepper, self._inbox
        stepper.set_time(self._clock.boot_us())
        told, within = False, None
        while self._failed:
            stepper.fail(*self._failed.pop())
        while inbox:
            if within is not None:
                told |= self._collect(plane, due=False, within=within)
            path, remote, within = inbox.popleft()
            stepper.hear(path, remote, within)
        while self._tun and self._tun_open:
            told |= self._collect(plane, due=False, within=within)
            within = None
            stepper.read(self._tun.popleft())
        if self._collect(plane, due=True, within=within) or told:
            plane.ring()

    def _collect(self, plane: Stepped, *, due: bool, within: bytes | None) -> bool:
        """Take what came out of the data plane; say whether there are facts."""
        sent, inner, self._deadline, self._tun_open, told = plane.stepper.turn(due)
        for path, remote, datagram in sent:
            self._outside.sent(path, remote, datagram)
        for packet in inner:
            self._outside.delivered(packet, within)
        return told

    def _enter_next(self) -> None:
        at, due = self.loop.next_at(), self._deadline
        if at is not None:
            boot = self._clock.boot_at_loop(at)
            due = boot if due is None or boot < due else due
        if due is not None:
            self._enter(max(self._clock.world_at_boot(due), self._calendar.now + 1))

    def _end(self, main: asyncio.Task[None]) -> None:
        self.alive = False
        self.loop.close()
        self._outside.ended(None if main.cancelled() else main.exception())

    _deadline: int | None = None
