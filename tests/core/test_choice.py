"""The choice among candidates: an order, a hysteresis and a last resort."""

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumping_vpn.core.events import Origin, candidate_figures
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.choice import (
    Candidate,
    Contender,
    Exclusion,
    Verdict,
    beats,
    choose_better,
    choose_for_loss,
    choose_ordered,
    consider,
)
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.model import Transport
from jumping_vpn.core.session.reasons import Reason

POLICY = Policy()
NOW = Millis(100_000)


def test_loss_comes_before_time_stability_preference_and_id():
    lossless_slow = candidate(1, loss=0.0, srtt_ms=200)
    quick = candidate(2, loss=0.02, srtt_ms=10)
    slow = candidate(3, loss=0.02, srtt_ms=20, stable_since=0, preference=0)
    young = candidate(4, loss=0.02, srtt_ms=20, stable_since=5, preference=0)
    unloved = candidate(5, loss=0.02, srtt_ms=20, stable_since=5, preference=1)
    last = candidate(6, loss=0.02, srtt_ms=20, stable_since=5, preference=1)
    unmeasured = replace(candidate(0), measured=False)
    expected = [lossless_slow, quick, slow, young, unloved, last, unmeasured]

    for shuffled in permutations(expected):
        considered = consider(shuffled, POLICY, now=NOW)

        assert [each.candidate for each in considered] == expected


def test_a_path_too_narrow_for_the_base_comes_after_a_slower_and_lossier_one():
    narrow = replace(candidate(1, srtt_ms=5), narrow=True)
    wide = candidate(2, loss=0.05, srtt_ms=90)

    decision = choose_for_loss([narrow, wide], POLICY, now=NOW)

    assert [each.transport.id for each in decision.chosen] == [2, 1]


@pytest.mark.parametrize(
    ("changed", "exclusion"),
    [
        ({}, None),
        ({"loss": 0.11}, Exclusion.LOSS),
        ({"loss": 0.10}, None),
        ({"cooldown_until": Millis(NOW + 1)}, Exclusion.COOLDOWN),
        ({"cooldown_until": NOW}, None),
        ({"adapter": "quic"}, Exclusion.ADAPTER),
        ({"hops": 4}, Exclusion.HOPS),
        ({"hops": 3}, None),
    ],
)
def test_a_candidate_is_left_out_for_one_stated_reason(changed, exclusion):
    policy = Policy.from_mapping({"allowed_transports": ["udp"]})

    (considered,) = consider([candidate(1, **changed)], policy, now=NOW)

    assert considered.excluded is exclusion


def test_the_first_two_compete_when_the_binding_is_dead():
    best, second, third = (candidate(each, srtt_ms=each * 10) for each in (1, 2, 3))

    decision = choose_for_loss([third, second, best], POLICY, now=NOW)

    assert decision.verdict is Verdict.COMPETE
    assert decision.chosen == (best, second)
    assert len(decision.considered) == 3


def test_death_overrides_a_candidates_cooldown():
    cooling = candidate(1, cooldown_until=Millis(NOW + 500))

    assert choose_for_loss([cooling], POLICY, now=NOW).chosen == (cooling,)


def test_a_lossy_candidate_is_the_last_resort_of_a_dead_binding():
    silent, lossy, fine = candidate(1, loss=1.0), candidate(2, loss=0.3), candidate(3)

    assert choose_for_loss([silent, lossy, fine], POLICY, now=NOW).chosen == (fine,)
    assert choose_for_loss([silent, lossy], POLICY, now=NOW).chosen == (lossy, silent)


def test_a_dead_binding_waits_when_policy_allows_no_candidate():
    relayed = candidate(1, hops=9)

    decision = choose_for_loss([relayed], POLICY, now=NOW)

    assert decision.verdict is Verdict.WAIT
    assert decision.reason is Reason.NO_CANDIDATE


def test_a_better_candidate_earns_a_switch_only_after_a_whole_window():
    current, better = candidate(1, srtt_ms=60), candidate(2, srtt_ms=50)

    first = better_than(current, [better], None, now=NOW)
    later = better_than(current, [better], first.contender, now=Millis(NOW + 1999))
    then = better_than(current, [better], first.contender, now=Millis(NOW + 2000))

    assert (first.verdict, first.wake_at) == (Verdict.STAY, NOW + 2000)
    assert first.contender == Contender(transport_id=2, since=NOW)
    assert later.verdict is Verdict.STAY
    assert (then.verdict, then.reason) == (Verdict.SWITCH, Reason.QUALITY_SWITCH)
    assert then.chosen == (better,)


def test_a_moment_of_not_being_better_begins_the_window_anew():
    current, better = candidate(1, srtt_ms=60), candidate(2, srtt_ms=50)
    contender = Contender(transport_id=2, since=Millis(0))

    paused = better_than(current, [replace(better, srtt_us=51_000)], contender, now=NOW)
    again = better_than(current, [better], paused.contender, now=NOW)

    assert paused.contender is None
    assert again.contender == Contender(transport_id=2, since=NOW)


def test_another_contender_begins_its_own_window():
    current, other = candidate(1, srtt_ms=60), candidate(3, srtt_ms=10)
    contender = Contender(transport_id=2, since=Millis(0))

    decision = better_than(current, [other], contender, now=NOW)

    assert decision.contender == Contender(transport_id=3, since=NOW)


def test_an_earned_switch_waits_for_cooldown_and_budget():
    current, better = candidate(1, srtt_ms=60), candidate(2, srtt_ms=10)
    contender = Contender(transport_id=2, since=Millis(0))
    jumps = (Millis(NOW - 100),)

    decision = choose_better(current, [better], POLICY, contender, jumps, now=NOW)

    assert decision.verdict is Verdict.STAY
    assert decision.reason is Reason.COOLDOWN_ACTIVE
    assert decision.wake_at == NOW + 1400
    assert decision.contender == contender


@pytest.mark.parametrize(
    ("best", "current", "is_better"),
    [
        ({"srtt_ms": 50}, {"srtt_ms": 60}, True),
        ({"srtt_ms": 51}, {"srtt_ms": 60}, False),
        ({"loss": 0.009, "srtt_ms": 10}, {"loss": 0.0, "srtt_ms": 60}, True),
        ({"loss": 0.06, "srtt_ms": 10}, {"loss": 0.0, "srtt_ms": 60}, False),
        ({"loss": 0.0, "srtt_ms": 60}, {"loss": 0.05, "srtt_ms": 60}, False),
        ({"loss": 0.0, "srtt_ms": 300}, {"loss": 0.06, "srtt_ms": 20}, True),
        ({"loss": 0.085, "srtt_ms": 300}, {"loss": 0.1, "srtt_ms": 20}, False),
        ({"srtt_ms": 1, "measured": False}, {"srtt_ms": 60}, False),
    ],
)
def test_better_means_by_the_factor_and_by_more_than_noise(best, current, is_better):
    assert beats(candidate(1, **best), candidate(2, **current), POLICY) is is_better


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 500)), min_size=2, max_size=6))
def test_no_two_candidates_each_beat_the_other(figures):
    made = [candidate(i, loss=loss, srtt_ms=ms) for i, (loss, ms) in enumerate(figures)]

    for one in made:
        for other in made:
            assert not (beats(one, other, POLICY) and beats(other, one, POLICY))


def test_a_person_may_choose_a_bad_path_but_not_a_forbidden_one():
    lossy, relayed = candidate(1, loss=0.9), candidate(2, hops=9)

    chosen = choose_ordered([lossy, relayed], POLICY, (), wanted=1, now=NOW)
    forbidden = choose_ordered([lossy, relayed], POLICY, (), wanted=2, now=NOW)

    assert (chosen.verdict, chosen.chosen) == (Verdict.SWITCH, (lossy,))
    assert chosen.reason is Reason.OPERATOR_SWITCH
    assert forbidden.reason is Reason.NO_CANDIDATE


def test_who_names_no_path_gets_a_bad_one_only_where_there_is_no_better():
    lossy, left = candidate(1, loss=0.3), candidate(2, cooldown_until=NOW + 60_000)

    better = choose_ordered([lossy, left], POLICY, (), wanted=None, now=NOW)
    only = choose_ordered([lossy], POLICY, (), wanted=None, now=NOW)

    assert better.chosen == (left,)
    assert only.chosen == (lossy,)


def test_who_names_no_path_gets_none_that_does_not_answer():
    decision = choose_ordered([candidate(1, loss=1.0)], POLICY, (), wanted=None, now=NOW)

    assert decision.reason is Reason.NO_CANDIDATE


def test_a_person_waits_for_the_budget_as_well():
    jumps = tuple(Millis(NOW - 30_000 + each) for each in range(6))

    decision = choose_ordered([candidate(1)], POLICY, jumps, wanted=1, now=NOW)

    assert decision.reason is Reason.SWITCH_RATE_LIMITED
    assert decision.wake_at == NOW + 30_000


def test_a_decision_can_be_told_with_the_figures_it_was_made_from():
    decision = choose_for_loss([candidate(2, loss=0.5), candidate(1)], POLICY, now=NOW)

    told = candidate_figures(
        decision, origin=Origin(node_id="phone", reveal_addresses=False), now=NOW
    )

    assert [each.transport for each in told] == [
        "udp/eth1/203.0.113.0/24#1",
        "udp/eth2/203.0.113.0/24#2",
    ]
    assert [each.excluded for each in told] == [None, Exclusion.LOSS]
    assert told[0].stable_ms == NOW


def test_a_round_trip_that_differs_by_less_than_its_jitter_earns_no_switch():
    current = candidate(1, srtt_ms=44, jitter_us=9_000)
    other = candidate(2, srtt_ms=33, jitter_us=11_000)

    assert not beats(other, current, POLICY)


def candidate(number: int, *, adapter: str = "udp", hops: int = 0, **figures) -> Candidate:
    srtt_ms = figures.pop("srtt_ms", 20)
    transport = Transport(
        id=number,
        adapter=adapter,
        interface=f"eth{number}",
        endpoint="203.0.113.1:4789",
        hops=hops,
    )
    usual = {"measured": True, "loss": 0.0, "stable_since": Millis(0), "preference": 0}
    return Candidate(transport=transport, srtt_us=srtt_ms * 1000, **{**usual, **figures})


def better_than(current, others, contender, *, now):
    return choose_better(current, others, POLICY, contender, (), now=now)
