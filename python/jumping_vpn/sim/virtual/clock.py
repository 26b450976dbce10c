"""The clocks of one machine: each counts the world's time in its own way.

CLOCK_BOOTTIME begins somewhere, runs a little fast or slow and goes on through suspend. The clock
of the event loop is the same without the suspends. The wall clock is stepped.
"""

import math
import random
from typing import Final

from jumping_vpn.core.ids import Millis
from jumping_vpn.service.clock import Clock
from jumping_vpn.sim.virtual.calendar import US_PER_MS, US_PER_SECOND, Calendar

WALL_MS: Final = 1_800_000_000_000
"""What a right wall clock shows when the world begins."""
MILLION: Final = 1_000_000


class HostClock:
    """What the clocks of a machine show; `fast_ppm` is how many millionths it gains."""

    def __init__(self, calendar: Calendar, *, began_us: int, fast_ppm: int, wall_ms: int) -> None:
        self._calendar = calendar
        self._began_us = began_us
        self._fast_ppm = fast_ppm
        self._wall_off_ms = wall_ms
        self._asleep_us = 0

    def boot_us(self) -> int:
        """Return CLOCK_BOOTTIME in microseconds."""
        now = self._calendar.now
        return self._began_us + now + now * self._fast_ppm // MILLION

    def loop_seconds(self) -> float:
        """Return CLOCK_MONOTONIC in seconds: the event loop's clock, which stops in suspend."""
        return (self.boot_us() - self._asleep_us) / US_PER_SECOND

    def wall_ms(self) -> int:
        """Return the wall clock in milliseconds."""
        return WALL_MS + self._wall_off_ms + (self.boot_us() - self._began_us) // US_PER_MS

    def step_wall(self, by_ms: int) -> None:
        """Set the wall clock forward or back."""
        self._wall_off_ms += by_ms

    def sleep_through(self, span_us: int) -> None:
        """Note that the machine was suspended for so long."""
        self._asleep_us += span_us

    def world_at_boot(self, boot_us: int) -> int:
        """Return the world's time at which CLOCK_BOOTTIME shows at least this."""
        counted = boot_us - self._began_us
        if not self._fast_ppm:
            return counted
        when = counted * MILLION // (MILLION + self._fast_ppm)
        while when + when * self._fast_ppm // MILLION < counted:
            when += 1
        return when

    def boot_at_loop(self, seconds: float) -> int:
        """Return what CLOCK_BOOTTIME shows when the event loop's clock shows at least this."""
        return math.ceil(seconds * US_PER_SECOND) + self._asleep_us


class ProcessClock(Clock):
    """The clock of one process: that of its machine, and a seed in place of the kernel's chance."""

    def __init__(self, host: HostClock, seed: int) -> None:
        super().__init__()
        self._host = host
        self._chance = random.Random(seed)  # noqa: S311  a simulation draws the same each time

    def now(self) -> Millis:
        """Return the monotonic time in milliseconds."""
        return Millis(self._host.boot_us() // US_PER_MS)

    def now_us(self) -> int:
        """Return the monotonic time in microseconds."""
        return self._host.boot_us()

    def wall_ms(self) -> int:
        """Return the wall clock in milliseconds."""
        return self._host.wall_ms()

    def entropy(self, size: int) -> bytes:
        """Return bytes that nobody can tell from random ones, except who knows the seed."""
        return self._chance.randbytes(size)
