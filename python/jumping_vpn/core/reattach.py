"""The ladder that decides a REATTACH_REQUEST: the first check that does not hold decides.

The checks are data, top rung first. Rungs 1 to 4 are reached in the data plane, before there is
anything to decide here; the claim says how they came out. A rung with two outcomes has one line for
each.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeAlias

from msgspec import Struct

from jumping_vpn.core.ids import Attempt, BindingEpoch, Millis, StateVersion
from jumping_vpn.core.ownership import Hold
from jumping_vpn.core.policy import switches
from jumping_vpn.core.record import Record, Root
from jumping_vpn.core.session.model import Session, Transport
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.wire.messages import Trigger

STORE_RETRY: Final = Millis(1_000)
JUMP_REASONS: Final = {
    Trigger.DEATH: Reason.REATTACH_SUCCESS,
    Trigger.PLANNED: Reason.PLANNED_SWITCH,
    Trigger.QUALITY: Reason.QUALITY_SWITCH,
    Trigger.OPERATOR: Reason.OPERATOR_SWITCH,
    Trigger.REKEY: Reason.REKEY,
}


class Presence(StrEnum):
    """Whether the session can be decided about here."""

    HERE = "HERE"
    GONE = "GONE"
    UNREADABLE = "UNREADABLE"


class Commit(StrEnum):
    """How the compare-and-set came out."""

    PENDING = "PENDING"
    LOST = "LOST"
    IMPOSSIBLE = "IMPOSSIBLE"


class Answer(StrEnum):
    """What the one who asked gets to hear when a rung does not hold."""

    SILENCE = "SILENCE"
    GONE_TOKEN = "GONE_TOKEN"  # noqa: S105 - an answer, no secret
    REPEAT = "REPEAT"
    REJECT = "REJECT"


class Claim(Struct, frozen=True, kw_only=True):
    """Everything the ladder looks at: what the request says, what is proven, what is recorded.

    `rate_wait` is how long the session's own rate makes the request wait, 0 if not at all.
    `version` and `ts_ms` are the client's; `cause` is what it says died. `store_reachable` and
    `commit` are the store's condition.
    """

    record: Record
    attempt: Attempt
    digest: bytes
    proven_by: BindingEpoch
    trigger: Trigger
    transport: Transport
    version: StateVersion
    ts_ms: int
    rate_wait: Millis
    hold: Hold
    now: Millis
    wall_ms: int
    prefix_in_rate: bool = True
    lookup_valid: bool = True
    presence: Presence = Presence.HERE
    proof_valid: bool = True
    commit: Commit = Commit.PENDING


class Rung(Struct, frozen=True, kw_only=True):
    """One check of the ladder and what follows when it does not hold."""

    number: int
    check: str
    holds: Callable[[Claim], bool]
    refusal: Reason
    answer: Answer = Answer.REJECT
    security: bool = False
    wait: Callable[[Claim], Millis] = lambda _: Millis(0)


class Admitted(Struct, frozen=True, kw_only=True):
    """Every check held: the binding `epoch` may be made; `supersedes`: it is the same jump."""

    epoch: BindingEpoch
    supersedes: bool


class Denied(Struct, frozen=True, kw_only=True):
    """A check did not hold."""

    rung: Rung
    retry_after: Millis

    @property
    def reason(self) -> Reason:
        """Return why."""
        return self.rung.refusal

    @property
    def is_authentic(self) -> bool:
        """Say whether the proof had verified, so that the attempt counts."""
        return self.rung.number > PROOF_RUNG

    @property
    def is_fresh(self) -> bool:
        """Say whether what the request reports is believed: a reported death is applied."""
        return self.rung.number > FRESHNESS_RUNG


Verdict: TypeAlias = Admitted | Denied


def admit(claim: Claim) -> Verdict:
    """Return the first rung that does not hold, or that the claim may proceed."""
    for rung in LADDER:
        if not rung.holds(claim):
            return Denied(rung=rung, retry_after=rung.wait(claim))
    return Admitted(
        epoch=BindingEpoch(claim.record.session.epoch + 1), supersedes=is_superseding(claim)
    )


def unsaved(commit: Commit) -> Denied:
    """Return the last rung's verdict on a claim whose compare-and-set failed."""
    reason = Reason.OWNERSHIP_CONFLICT if commit is Commit.LOST else Reason.STORE_UNAVAILABLE
    rung = next(each for each in reversed(LADDER) if each.refusal is reason)
    return Denied(rung=rung, retry_after=STORE_RETRY)


def is_superseding(claim: Claim) -> bool:
    """Say whether the claim replaces a binding that was never confirmed: the same jump again."""
    binding, unconfirmed = claim.record.session.binding, claim.record.unconfirmed
    if binding is None or unconfirmed is None or binding.epoch != unconfirmed.epoch:
        return False
    return claim.proven_by < unconfirmed.epoch


def accepted_root(record: Record) -> Root:
    """Return the root of the newest accepted attempt."""
    return record.confirmed if record.unconfirmed is None else record.unconfirmed


def jump_reason(trigger: Trigger, session: Session) -> Reason:
    """Return what a jump is called: without a binding there is nothing to switch from."""
    return Reason.REATTACH_SUCCESS if session.binding is None else JUMP_REASONS[trigger]


def _is_copy_of_accepted(claim: Claim) -> bool:
    root = accepted_root(claim.record)
    return claim.attempt == root.attempt and claim.digest == root.digest


def _races_accepted(claim: Claim) -> bool:
    return claim.attempt == accepted_root(claim.record).attempt


def _switch_denial(claim: Claim) -> switches.Denied | None:
    return switches.deny_switch(
        claim.record.jumps,
        claim.record.policy,
        reason=jump_reason(claim.trigger, claim.record.session),
        supersedes=is_superseding(claim),
        now=claim.now,
    )


def _is_denied_for(claim: Claim, reason: Reason) -> bool:
    denial = _switch_denial(claim)
    return denial is not None and denial.reason is reason


def _until_allowed(claim: Claim) -> Millis:
    denial = _switch_denial(claim)
    return Millis(0) if denial is None else denial.retry_after_ms


def _is_fresh(claim: Claim) -> bool:
    return abs(claim.wall_ms - claim.ts_ms) <= claim.record.policy.proof_max_age


def _is_before(deadline: Millis | None, now: Millis) -> bool:
    return deadline is None or now < deadline


def _is_allowed(claim: Claim) -> bool:
    policy, transport = claim.record.policy, claim.transport
    return transport.adapter in policy.allowed_transports and transport.hops <= policy.max_hops


PROOF_RUNG: Final = 4
RATE_RUNG: Final = 6
FRESHNESS_RUNG: Final = 7

LADDER: Final = (
    Rung(
        number=1,
        check="the source prefix is within its rate",
        holds=lambda c: c.prefix_in_rate,
        refusal=Reason.RATE_LIMITED,
        answer=Answer.SILENCE,
    ),
    Rung(
        number=2,
        check="the lookup id opens to a session number",
        holds=lambda c: c.lookup_valid,
        refusal=Reason.LOOKUP_INVALID,
        answer=Answer.SILENCE,
    ),
    Rung(
        number=3,
        check="the session is not known to be gone",
        holds=lambda c: c.presence is not Presence.GONE,
        refusal=Reason.SESSION_GONE,
        answer=Answer.GONE_TOKEN,
    ),
    Rung(
        number=3,
        check="the session is here or can be had",
        holds=lambda c: c.presence is Presence.HERE,
        refusal=Reason.STORE_UNAVAILABLE,
        answer=Answer.SILENCE,
    ),
    Rung(
        number=4,
        check="proof of possession, under the confirmed or the unconfirmed root",
        holds=lambda c: c.proof_valid,
        refusal=Reason.PROOF_INVALID,
        answer=Answer.SILENCE,
        security=True,
    ),
    Rung(
        number=5,
        check="not a copy of the accepted request: the same bytes get the same answer",
        holds=lambda c: not _is_copy_of_accepted(c),
        refusal=Reason.REPLAY_DETECTED,
        answer=Answer.REPEAT,
    ),
    Rung(
        number=5,
        check="not another candidate of the accepted attempt",
        holds=lambda c: not _races_accepted(c),
        refusal=Reason.RACE_LOST,
    ),
    Rung(
        number=5,
        check="the attempt is not below the floor",
        holds=lambda c: c.attempt >= c.record.attempt_floor,
        refusal=Reason.REPLAY_DETECTED,
        security=True,
    ),
    Rung(
        number=6,
        check="the session is within its own rate of attempts",
        holds=lambda c: c.rate_wait == 0,
        refusal=Reason.RATE_LIMITED,
        wait=lambda c: c.rate_wait,
    ),
    Rung(
        number=7,
        check="the timestamp is within proof_max_age of the authority's clock",
        holds=_is_fresh,
        refusal=Reason.FRESHNESS_INVALID,
    ),
    Rung(
        number=8,
        check="session_ttl is not over",
        holds=lambda c: _is_before(c.record.deadlines.session_ends, c.now),
        refusal=Reason.TTL_SESSION_EXPIRED,
    ),
    Rung(
        number=8,
        check="transport_loss_ttl is not over",
        holds=lambda c: _is_before(c.record.deadlines.transport_loss_ends, c.now),
        refusal=Reason.TTL_TRANSPORT_LOSS_EXPIRED,
    ),
    Rung(
        number=9,
        check="this node owns the session or may take it",
        holds=lambda c: c.hold is not Hold.ANOTHERS,
        refusal=Reason.NOT_OWNER,
    ),
    Rung(
        number=9,
        check="the store says who owns it",
        holds=lambda c: c.hold is not Hold.UNKNOWN,
        refusal=Reason.STORE_UNAVAILABLE,
    ),
    Rung(
        number=10,
        check="the client's version is not ahead of the authority's",
        holds=lambda c: c.version <= c.record.session.version,
        refusal=Reason.VERSION_AHEAD,
        security=True,
    ),
    Rung(
        number=11,
        check="protocol, endpoint and hop count are allowed by the session's policy",
        holds=_is_allowed,
        refusal=Reason.TRANSPORT_NOT_ALLOWED,
    ),
    Rung(
        number=12,
        check="the budget of switches is not used up",
        holds=lambda c: not _is_denied_for(c, Reason.SWITCH_RATE_LIMITED),
        refusal=Reason.SWITCH_RATE_LIMITED,
        wait=_until_allowed,
    ),
    Rung(
        number=12,
        check="the cooldown is over",
        holds=lambda c: not _is_denied_for(c, Reason.COOLDOWN_ACTIVE),
        refusal=Reason.COOLDOWN_ACTIVE,
        wait=_until_allowed,
    ),
    Rung(
        number=13,
        check="the compare-and-set did not lose to another node",
        holds=lambda c: c.commit is not Commit.LOST,
        refusal=Reason.OWNERSHIP_CONFLICT,
    ),
    Rung(
        number=13,
        check="the compare-and-set is durable",
        holds=lambda c: c.commit is not Commit.IMPOSSIBLE,
        refusal=Reason.STORE_UNAVAILABLE,
        wait=lambda _: STORE_RETRY,
    ),
)
