"""The dead-man's fence: the data plane forwards only while this task runs.

The extension depends on the process being alive and on nothing else: a full disk stops new jumps,
not traffic. A process that hangs or is killed stops forwarding by itself.
"""

import asyncio
from typing import Final, Protocol

from jumping_vpn.service.clock import Clock

PERIOD_SECONDS: Final = 1.0
AHEAD_US: Final = 5_000_000


class Fenced(Protocol):
    """The part of the data plane that is fenced."""

    def extend_fence(self, until_us: int) -> None:
        """Forward until this time of the monotonic clock."""


async def keep_fence(plane: Fenced, clock: Clock) -> None:
    """Extend the fence for ever."""
    while True:
        plane.extend_fence(clock.now_us() + AHEAD_US)
        await asyncio.sleep(PERIOD_SECONDS)
