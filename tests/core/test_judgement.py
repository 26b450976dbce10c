"""Judgement: what figures mean, and when they mean it."""

import pytest
from msgspec import structs
from msgspec.structs import replace

from jumping_vpn.core.facts import PathSampled
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.judgement import Judgement, Quality, breach_of, judge, settle
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.inputs import QualityBreached, QualityRestored
from jumping_vpn.core.session.model import Shape
from jumping_vpn.core.session.reasons import Reason
from support.sessions import attached, session_of

POLICY = Policy()
GOOD = PathSampled(
    number=1,
    epoch=1,
    srtt_us=20_000,
    base_rtt_us=20_000,
    jitter_us=1_000,
    base_jitter_us=1_000,
    loss_in=0.0,
    loss_out=0.0,
    late_us=0,
)


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({}, None),
        ({"late_us": 1}, Reason.HEARTBEAT_LATE),
        ({"loss_in": 0.11}, Reason.LOSS_THRESHOLD_EXCEEDED),
        ({"loss_out": 0.11}, Reason.LOSS_THRESHOLD_EXCEEDED),
        ({"loss_in": 0.10}, None),
        ({"srtt_us": 60_000}, None),
        ({"srtt_us": 60_001}, Reason.LATENCY_THRESHOLD_EXCEEDED),
        ({"srtt_us": 50_000, "base_rtt_us": 1_000}, None),
        ({"srtt_us": 50_001, "base_rtt_us": 1_000}, Reason.LATENCY_THRESHOLD_EXCEEDED),
        ({"jitter_us": 50_000}, None),
        ({"jitter_us": 50_001}, Reason.JITTER_THRESHOLD_EXCEEDED),
        ({"jitter_us": 70_000, "base_jitter_us": 20_000}, None),
        ({"late_us": 1, "loss_in": 1.0}, Reason.HEARTBEAT_LATE),
        ({"loss_in": 1.0, "srtt_us": 900_000}, Reason.LOSS_THRESHOLD_EXCEEDED),
    ],
)
def test_a_figure_breaches_beyond_its_factor_and_its_floor(figures, reason):
    assert breach_of(but(**figures), POLICY) is reason


def test_only_a_healthy_session_is_breached():
    bad = but(late_us=1)
    expected = QualityBreached(epoch=1, reason=Reason.HEARTBEAT_LATE)

    for shape in Shape:
        verdict = judge(bad, session_of(shape), POLICY, None, now=Millis(10)).input

        assert verdict == (expected if shape is Shape.ATTACHED else None)


def test_a_sample_of_another_binding_means_nothing():
    quality = Quality(epoch=2, good_since=Millis(5))

    judged = judge(but(late_us=1), attached(epoch=2), POLICY, quality, now=Millis(10))

    assert judged == Judgement(input=None, quality=quality)


@pytest.mark.parametrize("shape", [Shape.VOLATILE, Shape.DEGRADED_BOUND])
def test_quality_is_restored_after_a_whole_stability_window(shape: Shape):
    session = session_of(shape)

    judged = judge(GOOD, session, POLICY, None, now=Millis(1000))

    assert judged.input is None
    assert judged.wake_at == 3000
    assert settle(session, POLICY, judged.quality, now=Millis(2999)).input is None
    assert settle(session, POLICY, judged.quality, now=Millis(3000)).input == QualityRestored(
        epoch=1
    )


def test_a_breach_begins_the_window_anew():
    session = session_of(Shape.VOLATILE)
    judged = judge(GOOD, session, POLICY, None, now=Millis(1000))

    bad = judge(but(loss_in=1.0), session, POLICY, judged.quality, now=Millis(2000))
    good = judge(GOOD, session, POLICY, bad.quality, now=Millis(2100))

    assert bad.wake_at is None
    assert settle(session, POLICY, bad.quality, now=Millis(9000)).input is None
    assert good.wake_at == 4100


def test_the_dwell_delays_the_restoration_only():
    policy = Policy.from_mapping({"state_dwell": 30_000})
    session = replace(session_of(Shape.VOLATILE), since=Millis(1000))

    assert judge(GOOD, session, policy, None, now=Millis(2000)).wake_at == 31_000
    breached = judge(but(late_us=1), attached(), policy, None, now=Millis(0))
    assert isinstance(breached.input, QualityBreached)


def test_the_quality_of_a_binding_that_was_left_restores_nothing():
    quality = Quality(epoch=1, good_since=Millis(0))
    session = replace(session_of(Shape.VOLATILE), epoch=2, binding=attached(epoch=2).binding)

    assert settle(session, POLICY, quality, now=Millis(99_999)).input is None


def but(**figures: object) -> PathSampled:
    return structs.replace(GOOD, **figures)
