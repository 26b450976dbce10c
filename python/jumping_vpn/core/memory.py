"""What the gateway remembers of a session in memory only: losing it costs time, never safety."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from jumping_vpn.core.ids import BindingEpoch, Millis
from jumping_vpn.core.policy.judgement import Quality
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.inputs import Input
from jumping_vpn.core.session.model import Transport
from jumping_vpn.core.wire.constants import MOVES_MAX
from jumping_vpn.core.wire.messages import SeenMove

MOVES_REMEMBERED: Final = 4 * MOVES_MAX
NOTICE_FIRST: Final = Millis(500)
NOTICE_TRIES: Final = 6
REFUSALS_RATE: Final = 1
REFUSALS_BURST: Final = 10
"""Refused inputs of one session that are written down: so many at once, then so many a second."""


class Bucket:
    """A token bucket: `rate` a second, up to `burst` at once."""

    def __init__(self, *, now: Millis, burst: int) -> None:
        self._tokens = float(burst)
        self._at = now

    def wait(self, *, now: Millis, rate: int, burst: int) -> Millis:
        """Return how long until one may pass, 0 if one may pass at once."""
        self._tokens = min(float(burst), self._tokens + (now - self._at) * rate / 1000)
        self._at = now
        if self._tokens >= 1.0:
            return Millis(0)
        return Millis(max(1, round((1.0 - self._tokens) * 1000 / rate)))

    def take(self) -> None:
        """Let one pass."""
        self._tokens -= 1.0


@dataclass(slots=True, kw_only=True)
class Memory:
    """One session's volatile memory.

    `live_from` is the first epoch that this process bound: an older binding in the record died with
    the process that made it. `moves` are the newest moves, until the client has seen them. `left`
    is the transport of the last binding.
    """

    bucket: Bucket
    refusals: Bucket
    live_from: BindingEpoch | None = None
    moves: list[SeenMove] = field(default_factory=list)
    seen_version: int = 0
    notice_at: Millis | None = None
    notice_tries: int = 0
    confirm_timeouts: int = 0
    doubted: int | None = None
    accepted_at: Millis | None = None
    left: Transport | None = None
    client_policy_version: int | None = None
    quality: Quality | None = None
    judge_at: Millis | None = None
    owed: tuple[Input, ...] = ()

    def is_live(self, epoch: BindingEpoch) -> bool:
        """Say whether this process made the binding."""
        return self.live_from is not None and epoch >= self.live_from

    def remember(self, moves: list[SeenMove]) -> None:
        """Add moves for the client to see; the oldest go when there are too many.

        A version is remembered once: what was decided before and not saved is decided again.
        """
        if moves:
            self.forget_moves(above=moves[0].version - 1)
            self.moves = (self.moves + moves)[-MOVES_REMEMBERED:]

    def forget_moves(self, *, above: int) -> None:
        """Drop the moves above a version: they were not saved, so they never happened."""
        self.moves = [move for move in self.moves if move.version <= above]

    def may_tell_refusal(self, *, now: Millis) -> bool:
        """Say whether one more refused input may be written down, and count it if so."""
        if self.refusals.wait(now=now, rate=REFUSALS_RATE, burst=REFUSALS_BURST):
            return False
        self.refusals.take()
        return True

    def mark_seen(self, version: int) -> None:
        """Note that the client has seen every move up to `version`."""
        if version <= self.seen_version:
            return
        self.seen_version = version
        self.moves = [move for move in self.moves if move.version > version]
        if not self.moves:
            self.notice_at = None

    def unseen(self, *, above: int, newest: Iterable[SeenMove] = ()) -> tuple[SeenMove, ...]:
        """Return the newest moves above a version, as many as fit into a message."""
        return tuple(move for move in (*self.moves, *newest) if move.version > above)[-MOVES_MAX:]

    def schedule_notice(self, *, now: Millis) -> None:
        """Plan to repeat a notice that goes out now: less and less often, then not at all."""
        if self.notice_tries >= NOTICE_TRIES:
            self.notice_at = None
            return
        self.notice_at = Millis(now + (NOTICE_FIRST << self.notice_tries))
        self.notice_tries += 1


def new_memory(policy: Policy, *, now: Millis) -> Memory:
    """Return the memory of a session that was just met."""
    return Memory(
        bucket=Bucket(now=now, burst=policy.reattach_burst),
        refusals=Bucket(now=now, burst=REFUSALS_BURST),
    )
