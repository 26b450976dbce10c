"""The two clocks and the one source of randomness that the shells hand to the core.

The monotonic clock is CLOCK_BOOTTIME: it counts suspend, so a deadline that passed while the
machine slept is over when it wakes. The data plane reads the same clock, in microseconds.
"""

import os
import time

from jumping_vpn.core.ids import Millis


class Clock:
    """Reads the system's clocks; the only place in the shells that does."""

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
        """Return fresh randomness from the kernel."""
        return os.urandom(size)
