"""The budget and the cooldown of switches, as arithmetic over the times of the accepted jumps.

Any 60 s hold at most `max_switches_per_minute` accepted jumps. Discretionary switches may use half
of them, so that the other half is there when a transport dies; they also wait out the cooldown,
which death overrides. Superseding an unconfirmed binding is still the same jump.
"""

from bisect import bisect_right
from typing import Final

from msgspec import Struct

from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import MINUTE, Policy
from jumping_vpn.core.session.reasons import Reason

DISCRETIONARY: Final = (
    Reason.PLANNED_SWITCH,
    Reason.QUALITY_SWITCH,
    Reason.OPERATOR_SWITCH,
    Reason.REKEY,
)


class Denied(Struct, frozen=True, kw_only=True):
    """A switch that is not allowed yet: the limit `reason` ends after `retry_after_ms`."""

    reason: Reason
    retry_after_ms: Millis


def budget_of(policy: Policy, *, discretionary: bool) -> int:
    """Return how many jumps any 60 s may hold for a switch of this kind still to be one of them."""
    whole = policy.max_switches_per_minute
    return (whole + 1) // 2 if discretionary else whole


def within_minute(jumps: tuple[Millis, ...], *, now: Millis) -> tuple[Millis, ...]:
    """Return the jumps, newest last, that still count at `now`."""
    return jumps[bisect_right(jumps, now - MINUTE) :]


def deny_switch(
    jumps: tuple[Millis, ...], policy: Policy, *, reason: Reason, supersedes: bool, now: Millis
) -> Denied | None:
    """Return what forbids a switch for `reason` now, or None if it is allowed.

    `supersedes` says that the session's binding is unconfirmed: then this is the same jump again.
    """
    if supersedes:
        return None
    discretionary = reason in DISCRETIONARY
    counted = within_minute(jumps, now=now)
    budget = budget_of(policy, discretionary=discretionary)
    if len(counted) >= budget:
        frees = counted[-budget] + MINUTE
        return Denied(reason=Reason.SWITCH_RATE_LIMITED, retry_after_ms=Millis(frees - now))
    if discretionary and jumps and now < jumps[-1] + policy.switch_cooldown:
        waits = jumps[-1] + policy.switch_cooldown - now
        return Denied(reason=Reason.COOLDOWN_ACTIVE, retry_after_ms=Millis(waits))
    return None


def count_switch(jumps: tuple[Millis, ...], *, supersedes: bool, now: Millis) -> tuple[Millis, ...]:
    """Return the jumps that count after one is accepted at `now`."""
    counted = within_minute(jumps, now=now)
    return counted if supersedes and counted else (*counted, now)
