"""The choice among candidates: deterministic, never at random, and told with its figures.

Candidates that policy allows are ordered by loss, then smoothed round-trip time, then longest
stability, then the operator's preference, then transport id. A candidate that was never measured
comes after all that were: nothing is known in its favour. One that is too narrow for the base size
of packets comes after those that are not: what passes only small packets is not healthy. When the
binding is dead the first two compete; a discretionary switch must be earned by being better for a
whole stability window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.policy.switches import deny_switch
from jumping_vpn.core.session.model import Transport
from jumping_vpn.core.session.reasons import Reason

COMPETITORS: Final = 2
LOSS_NOISE: Final = 0.05
SILENT_LOSS: Final = 1.0
"""The loss of a candidate that does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A transport that could carry the session, and its figures.

    `measured` is false until a probe was answered; a candidate that fell silent has a loss of 1.
    `stable_since` is when it was last silent or outside a bound; a low `preference` comes first.
    """

    transport: Transport
    measured: bool
    loss: float
    srtt_us: int
    stable_since: Millis
    preference: int
    cooldown_until: Millis | None = None
    jitter_us: int = 0
    narrow: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Rank:
    """The order of candidates: the fields, in this order, are the policy."""

    unmeasured: bool
    narrow: bool
    loss: float
    srtt_us: int
    stable_since: Millis
    preference: int
    transport_id: int


class Exclusion(StrEnum):
    """Why a candidate was left out of a choice."""

    ADAPTER = "ADAPTER"
    HOPS = "HOPS"
    COOLDOWN = "COOLDOWN"
    LOSS = "LOSS"


class Verdict(StrEnum):
    """What was decided."""

    STAY = "STAY"
    SWITCH = "SWITCH"
    COMPETE = "COMPETE"
    WAIT = "WAIT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """One candidate as the choice saw it."""

    candidate: Candidate
    excluded: Exclusion | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """The candidate that has been better than the current one, without a break, since `since`."""

    transport_id: int
    since: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, why, and everything it was decided from.

    `chosen` are the candidates to ask on, best first. `contender` goes into the next choice,
    `wake_at` is when to choose again if nothing happens before.
    """

    verdict: Verdict
    reason: Reason
    chosen: tuple[Candidate, ...]
    considered: tuple[Considered, ...]
    contender: Contender | None = None
    wake_at: Millis | None = None


def rank(candidate: Candidate) -> Rank:
    """Return the sort key of a candidate; the smallest is the best."""
    return Rank(
        not candidate.measured,
        candidate.narrow,
        candidate.loss,
        candidate.srtt_us,
        candidate.stable_since,
        candidate.preference,
        candidate.transport.id,
    )


def consider(
    candidates: Sequence[Candidate], policy: Policy, *, now: Millis
) -> tuple[Considered, ...]:
    """Return every candidate, best first, with what excludes it."""
    return tuple(
        Considered(candidate=each, excluded=_exclusion(each, policy, now=now))
        for each in sorted(candidates, key=rank)
    )


def choose_for_loss(candidates: Sequence[Candidate], policy: Policy, *, now: Millis) -> Decision:
    """Return the candidates that compete for a session whose binding is dead.

    Death overrides the cooldown. Where no candidate is within the bound of loss, those beyond it
    compete: a path that may deliver is better than none.
    """
    considered = consider(candidates, policy, now=now)
    usable = _open(considered, Exclusion.COOLDOWN)
    usable = usable or _open(considered, Exclusion.COOLDOWN, Exclusion.LOSS)
    if not usable:
        return Decision(
            verdict=Verdict.WAIT, reason=Reason.NO_CANDIDATE, chosen=(), considered=considered
        )
    return Decision(
        verdict=Verdict.COMPETE,
        reason=Reason.REATTACH_SUCCESS,
        chosen=usable[:COMPETITORS],
        considered=considered,
    )


def choose_better(  # noqa: PLR0913  everything the decision depends on
    current: Candidate,
    candidates: Sequence[Candidate],
    policy: Policy,
    contender: Contender | None,
    jumps: tuple[Millis, ...],
    *,
    now: Millis,
) -> Decision:
    """Return whether another candidate has earned a switch from the living `current` one."""
    others = [each for each in candidates if each.transport.id != current.transport.id]
    considered = consider(others, policy, now=now)
    usable = _open(considered)
    best = usable[0] if usable else None
    if best is None or not beats(best, current, policy):
        return _stay(Reason.NOT_BETTER, considered)
    if contender is None or contender.transport_id != best.transport.id:
        contender = Contender(transport_id=best.transport.id, since=now)
    earned_at = Millis(contender.since + policy.stability_window)
    if now < earned_at:
        return _stay(Reason.NOT_BETTER, considered, contender=contender, wake_at=earned_at)
    denied = deny_switch(jumps, policy, reason=Reason.QUALITY_SWITCH, supersedes=False, now=now)
    if denied is not None:
        again_at = Millis(now + denied.retry_after_ms)
        return _stay(denied.reason, considered, contender=contender, wake_at=again_at)
    return Decision(
        verdict=Verdict.SWITCH,
        reason=Reason.QUALITY_SWITCH,
        chosen=(best,),
        considered=considered,
    )


def choose_ordered(
    candidates: Sequence[Candidate],
    policy: Policy,
    jumps: tuple[Millis, ...],
    *,
    wanted: int | None,
    now: Millis,
) -> Decision:
    """Return whether a switch that a person orders may happen: to `wanted`, or to the best.

    A person may choose a bad path; policy's adapters, hops, budget and cooldown still hold. Who
    names none gets a bad one where there is no better, but none that does not answer at all.
    """
    considered = consider(candidates, policy, now=now)
    usable = _open(considered, Exclusion.COOLDOWN, Exclusion.LOSS)
    if wanted is None:
        within = _open(considered, Exclusion.COOLDOWN)
        chosen = (within or tuple(each for each in usable if each.loss < SILENT_LOSS))[:1]
    else:
        chosen = tuple(each for each in usable if each.transport.id == wanted)
    if not chosen:
        return _stay(Reason.NO_CANDIDATE, considered)
    denied = deny_switch(jumps, policy, reason=Reason.OPERATOR_SWITCH, supersedes=False, now=now)
    if denied is not None:
        again_at = Millis(now + denied.retry_after_ms)
        return _stay(denied.reason, considered, wake_at=again_at)
    return Decision(
        verdict=Verdict.SWITCH,
        reason=Reason.OPERATOR_SWITCH,
        chosen=chosen,
        considered=considered,
    )


def beats(best: Candidate, current: Candidate, policy: Policy) -> bool:
    """Say whether `best` is better than `current` by `improvement_factor`.

    Loss decides where it differs by the factor and by more than noise, else the round-trip time.
    A smoothed round trip wanders by as much as its jitter, so that much is no difference.
    """
    if not best.measured:
        return False
    factor = policy.improvement_factor
    if _clearly_less(best.loss, current.loss, factor):
        return True
    if _clearly_less(current.loss, best.loss, factor):
        return False
    noise_us = max(best.jitter_us, current.jitter_us)
    slowest_us = (best.srtt_us + noise_us) * factor
    return best.srtt_us < current.srtt_us and slowest_us <= current.srtt_us


def _clearly_less(loss: float, other: float, factor: float) -> bool:
    return other - loss > LOSS_NOISE and loss * factor <= other


def _exclusion(candidate: Candidate, policy: Policy, *, now: Millis) -> Exclusion | None:
    transport = candidate.transport
    if transport.adapter not in policy.allowed_transports:
        return Exclusion.ADAPTER
    if transport.hops > policy.max_hops:
        return Exclusion.HOPS
    if candidate.loss > policy.loss_threshold:
        return Exclusion.LOSS
    if candidate.cooldown_until is not None and now < candidate.cooldown_until:
        return Exclusion.COOLDOWN
    return None


def _open(considered: tuple[Considered, ...], *overridden: Exclusion) -> tuple[Candidate, ...]:
    """Return the candidates that nothing excludes except what is overridden, best first."""
    allowed = (None, *overridden)
    return tuple(each.candidate for each in considered if each.excluded in allowed)


def _stay(
    reason: Reason,
    considered: tuple[Considered, ...],
    *,
    contender: Contender | None = None,
    wake_at: Millis | None = None,
) -> Decision:
    return Decision(
        verdict=Verdict.STAY,
        reason=reason,
        chosen=(),
        considered=considered,
        contender=contender,
        wake_at=wake_at,
    )
