"""What the explored clocks and the source of entropy show."""

from typing import Final, TypedDict

from jumping_vpn.core.ids import Millis

WALL: Final = 1_800_000_000_000
"""What the wall clocks show when the monotonic ones show 0."""
ENTROPY: Final = bytes(range(64))


class Instant(TypedDict):
    """The arguments by which a role learns of time and chance."""

    now: Millis
    wall_ms: int
    entropy: bytes


def instant(now: Millis) -> Instant:
    """Return what a role is told at this reading of the monotonic clock."""
    return Instant(now=now, wall_ms=WALL + now, entropy=ENTROPY)
