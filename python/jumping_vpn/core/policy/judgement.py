"""Judgement: what the figures of a path mean for the session.

A figure outside its bound breaches quality at once. Quality is restored only after every figure was
inside for the stability window, and not before the session has dwelt in its state for
`state_dwell`: a bad afternoon does not become a load of moves. The data plane reports a path when a
figure crosses its bound and while any is outside, so the restoration falls due by time: `wake_at`
says when. A binding younger than `loss_window` is judged by its heartbeats alone: its other figures
still tell of the path's first packets, of what was sent again, and of how the path came up.
"""

from dataclasses import dataclass

from jumping_vpn.core.facts import PathSampled
from jumping_vpn.core.ids import BindingEpoch, Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.inputs import Input, QualityBreached, QualityRestored
from jumping_vpn.core.session.model import Session, Shape
from jumping_vpn.core.session.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What judgement remembers of a binding: since when every figure is inside, if all are."""

    epoch: BindingEpoch
    good_since: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the figures mean: an input or none, what to remember, and when to judge again."""

    input: Input | None
    quality: Quality | None
    wake_at: Millis | None = None


def judge(
    sample: PathSampled,
    session: Session,
    policy: Policy,
    quality: Quality | None,
    *,
    now: Millis,
) -> Judgement:
    """Return what a sample means for the session, if it was taken on the session's binding."""
    if session.binding is None or session.binding.epoch != sample.epoch:
        return Judgement(input=None, quality=quality)
    epoch = session.binding.epoch
    settled = now >= session.binding.since + policy.loss_window
    reason = breach_of(sample, policy) if settled else lateness_of(sample)
    if reason is not None:
        breached = QualityBreached(epoch=epoch, reason=reason)
        healthy = session.shape is Shape.ATTACHED
        return Judgement(
            input=breached if healthy else None, quality=Quality(epoch=epoch, good_since=None)
        )
    if quality is None or quality.epoch != epoch or quality.good_since is None:
        quality = Quality(epoch=epoch, good_since=now)
    return settle(session, policy, quality, now=now)


def settle(session: Session, policy: Policy, quality: Quality | None, *, now: Millis) -> Judgement:
    """Return whether quality is restored by now, or when it will be if nothing else is sampled."""
    unwell = session.shape in {Shape.VOLATILE, Shape.DEGRADED_BOUND}
    if quality is None or quality.epoch != session.epoch or not unwell:
        return Judgement(input=None, quality=quality)
    if quality.good_since is None:
        return Judgement(input=None, quality=quality)
    due = max(quality.good_since + policy.stability_window, session.since + policy.state_dwell)
    if now < due:
        return Judgement(input=None, quality=quality, wake_at=Millis(due))
    return Judgement(input=QualityRestored(epoch=quality.epoch), quality=quality)


def lateness_of(sample: PathSampled) -> Reason | None:
    """Return HEARTBEAT_LATE where delivery is unproven beyond the bound of the heartbeat."""
    return Reason.HEARTBEAT_LATE if sample.late_us > 0 else None


def breach_of(sample: PathSampled, policy: Policy) -> Reason | None:
    """Return the first bound that a sample is outside of, gravest first."""
    late = lateness_of(sample)
    if late is not None:
        return late
    if max(sample.loss_in, sample.loss_out) > policy.loss_threshold:
        return Reason.LOSS_THRESHOLD_EXCEEDED
    floor_us = policy.latency_floor * 1000
    if sample.srtt_us > max(floor_us, policy.latency_factor * sample.base_rtt_us):
        return Reason.LATENCY_THRESHOLD_EXCEEDED
    if sample.jitter_us > max(floor_us, policy.jitter_factor * sample.base_jitter_us):
        return Reason.JITTER_THRESHOLD_EXCEEDED
    return None
