"""The budget of switches: arithmetic that no sequence of jumps gets around."""

from hypothesis import given
from hypothesis import strategies as st

from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import MINUTE, Policy
from jumping_vpn.core.policy.switches import (
    Denied,
    budget_of,
    count_switch,
    deny_switch,
    within_minute,
)
from jumping_vpn.core.session.reasons import Reason

REASONS = (Reason.REATTACH_SUCCESS, Reason.QUALITY_SWITCH, Reason.OPERATOR_SWITCH, Reason.REKEY)


@given(
    st.integers(1, 6),
    st.lists(
        st.tuples(st.integers(0, 20_000), st.sampled_from(REASONS), st.booleans()), max_size=60
    ),
)
def test_no_minute_ever_holds_more_jumps_than_the_budget(budget: int, wishes):
    policy = Policy.from_mapping({"max_switches_per_minute": budget})
    now, kept, accepted = Millis(0), (), []
    for pause, reason, unconfirmed in wishes:
        now = Millis(now + pause)
        supersedes = unconfirmed and bool(within_minute(kept, now=now))
        if deny_switch(kept, policy, reason=reason, supersedes=supersedes, now=now) is None:
            if not supersedes:
                accepted.append((now, reason))
            kept = count_switch(kept, supersedes=supersedes, now=now)

    for start, _ in accepted:
        window = [reason for at, reason in accepted if start <= at < start + MINUTE]
        wanted = [reason for reason in window if reason is not Reason.REATTACH_SUCCESS]
        assert len(window) <= budget
        assert len(wanted) <= budget_of(policy, discretionary=True)


@given(st.integers(1, 6), st.lists(st.integers(0, 60_000), max_size=8), st.sampled_from(REASONS))
def test_the_retry_after_is_the_first_instant_at_which_it_is_allowed(budget, times, reason):
    policy = Policy.from_mapping({"max_switches_per_minute": budget})
    jumps, now = tuple(Millis(at) for at in sorted(times)), Millis(60_000)

    denied = deny_switch(jumps, policy, reason=reason, supersedes=False, now=now)

    if denied is not None:
        free = now + denied.retry_after_ms
        again = deny_switch(jumps, policy, reason=reason, supersedes=False, now=Millis(free))
        before = deny_switch(jumps, policy, reason=reason, supersedes=False, now=Millis(free - 1))
        assert before is not None
        assert again is None or again.reason is Reason.COOLDOWN_ACTIVE


def test_death_overrides_the_cooldown_and_a_wish_does_not():
    jumps = (Millis(1000),)

    wish = deny_switch(jumps, Policy(), reason=Reason.REKEY, supersedes=False, now=Millis(2499))
    death = deny_switch(
        jumps, Policy(), reason=Reason.REATTACH_SUCCESS, supersedes=False, now=Millis(1001)
    )

    assert wish == Denied(reason=Reason.COOLDOWN_ACTIVE, retry_after_ms=Millis(1))
    assert death is None


def test_half_of_a_budget_of_one_is_one():
    policy = Policy.from_mapping({"max_switches_per_minute": 1})

    assert budget_of(policy, discretionary=True) == 1


def test_superseding_keeps_the_time_of_the_jump_it_continues():
    jumps = (Millis(1000), Millis(5000))

    assert count_switch(jumps, supersedes=True, now=Millis(6000)) == jumps
    assert count_switch(jumps, supersedes=False, now=Millis(61_000)) == (5000, 61_000)
    assert count_switch((), supersedes=True, now=Millis(6000)) == (6000,)
