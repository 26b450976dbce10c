"""The two clocks and the one source of randomness that the shells hand to the core.

The monotonic clock is CLOCK_BOOTTIME: it counts suspend, so a deadline that passed while the
machine slept is over when it wakes. The data plane reads the same clock, in microseconds.
"""

import os
import time
from typing import Final

from jumping_vpn.core.ids import Millis

POOL: Final = 4096


class Clock:
    """Reads the system's clocks; the only place in the shells that does."""

    def __init__(self) -> None:
        self._pool = b""
        self._used = 0

    def now(self) -> Millis:
        """Return the monotonic time in milliseconds."""
        return Millis(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000)

    def now_us(self) -> int:
        """Return the monotonic time in microseconds, as the data plane counts it."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000

    def wall_ms(self) -> int:
        """Return the wall clock in milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def entropy(self, size: int) -> bytes:
        """Return fresh randomness from the kernel, fetched ahead: each fetch is a system call."""
        start, self._used = self._used, self._used + size
        if self._used > len(self._pool):
            self._pool = os.urandom(max(POOL, size))
            start, self._used = 0, size
        return self._pool[start : self._used]
