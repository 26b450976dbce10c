"""How the client pursues a binding: when it asks again, when it slows down, when it gives up.

The data plane repeats one request byte for byte; here a newer attempt is made: after a refusal that
allows one, when the candidates change, or when an attempt stayed unanswered for longer than a slow
path explains.
"""

from dataclasses import dataclass
from typing import Final

from jumping_vpn.core.ids import Attempt, BindingEpoch, Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire.messages import Trigger

PATIENCE: Final = Millis(1_000)
PLANNED_TRIES: Final = 3
CHANGE_PAUSE: Final = Millis(200)
HURRIES_MAX: Final = 4
SLOW_FACTOR: Final = 4


@dataclass(slots=True, kw_only=True)
class Pursuit:
    """One wish for a binding and the attempts made for it.

    `lost` is the epoch that died, 0 where none did. `attempt` is the newest, on `paths`, made at
    `asked`; `again_at` is when a newer one is due. `hurries` counts those made at once after a
    refusal, so that a quarrel does not become a flood. `held_until`: until then the session may not
    jump, whatever the candidates. `dropped`: the lost binding is gone from the
    data plane too.
    """

    trigger: Trigger
    cause: Reason | None
    lost: BindingEpoch
    began: Millis
    detect_ms: int = 0
    wanted: int | None = None
    attempt: Attempt | None = None
    paths: tuple[int, ...] = ()
    asked: Millis | None = None
    again_at: Millis | None = None
    held_until: Millis | None = None
    tries: int = 0
    hurries: int = 0
    dropped: bool = False

    @property
    def is_for_life(self) -> bool:
        """Say whether the session has no binding until this succeeds."""
        return self.trigger is Trigger.DEATH

    def note_asked(
        self, attempt: Attempt, paths: tuple[int, ...], *, srtt_us: int, policy: Policy, now: Millis
    ) -> None:
        """Note a new attempt, and plan the next one."""
        self.attempt, self.paths, self.asked = attempt, paths, now
        patience = max(3 * srtt_us // 1000, PATIENCE) << min(self.tries, 8)
        ceiling = max(policy.proof_max_age // 2, 1)
        if self.is_slow(policy, now=now):
            ceiling *= SLOW_FACTOR
            patience = ceiling
        self.again_at = Millis(now + min(patience, ceiling))
        self.tries += 1

    def is_slow(self, policy: Policy, *, now: Millis) -> bool:
        """Say whether the recovery window is over, so that the pace is that of DEGRADED."""
        return now >= self.began + policy.recovery_window

    def hurry(self, *, now: Millis) -> None:
        """Plan the next attempt at once, a bounded number of times."""
        self.hurries += 1
        self.again_at = now if self.hurries <= HURRIES_MAX else Millis(now + PATIENCE)

    def wait(self, *, until: Millis) -> None:
        """Plan the next attempt for later."""
        self.again_at = until

    def hold(self, *, until: Millis) -> None:
        """Plan the next attempt for later, also if the candidates change meanwhile."""
        self.again_at = self.held_until = until

    def note_change(self, *, now: Millis) -> None:
        """Plan a newer attempt soon: there are other candidates than those asked on."""
        soon = now if self.asked is None else Millis(max(now, self.asked + CHANGE_PAUSE))
        soon = soon if self.held_until is None else max(soon, self.held_until)
        self.again_at = soon if self.again_at is None else min(self.again_at, soon)

    def is_hopeless(self) -> bool:
        """Say whether a jump that need not be was asked for often enough."""
        return not self.is_for_life and self.tries >= PLANNED_TRIES
