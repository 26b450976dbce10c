"""Inputs: verdicts reached before the table is asked, each proven by a key, a timer or a policy.

No input exists that an unauthenticated packet can cause. An *observation* names the binding it was
made on; the machine refuses it when the session has left that binding.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias, get_args

from msgspec import Struct

from jumping_vpn.core.ids import BindingEpoch, NodeId, OwnershipEpoch
from jumping_vpn.core.session.model import Binding
from jumping_vpn.core.session.reasons import Reason


class HandshakeVerified(Struct, frozen=True, kw_only=True):
    """The first packet under a new session's keys arrived: the client is real and alive."""

    binding: Binding


class HandshakeRefused(Struct, frozen=True, kw_only=True):
    """The handshake failed or ran out of time."""

    reason: Reason


class QualityBreached(Struct, frozen=True, kw_only=True):
    """The binding's path delivers, but outside a bound of the policy."""

    epoch: BindingEpoch
    reason: Reason


class QualityRestored(Struct, frozen=True, kw_only=True):
    """The binding's path was inside every bound for the policy's stability window."""

    epoch: BindingEpoch


class VolatilityExpired(Struct, frozen=True, kw_only=True):
    """The binding's path stayed outside its bounds for `volatile_max`."""

    epoch: BindingEpoch


class BindingLost(Struct, frozen=True, kw_only=True):
    """The binding is dead or given up."""

    epoch: BindingEpoch
    reason: Reason


class ReattachVerified(Struct, frozen=True, kw_only=True):
    """A REATTACH_REQUEST passed every check: `binding` is what it makes."""

    binding: Binding
    reason: Reason


class SwitchLimitReached(Struct, frozen=True, kw_only=True):
    """The session has used up its budget of switches."""


class RecoveryWindowClosed(Struct, frozen=True, kw_only=True):
    """No reattach was accepted inside the recovery window."""


class DegradationExpired(Struct, frozen=True, kw_only=True):
    """The binding stayed degraded for `degraded_max`."""

    epoch: BindingEpoch


class TransportLossTtlExpired(Struct, frozen=True, kw_only=True):
    """The session was without a binding for `transport_loss_ttl`."""


class OwnershipMoved(Struct, frozen=True, kw_only=True):
    """Another node took the session, or this node gave it away."""

    owner: NodeId
    ownership_epoch: OwnershipEpoch
    reason: Reason


class OwnershipAmbiguous(Struct, frozen=True, kw_only=True):
    """A version or an ownership epoch went backwards in the store."""


class SessionTtlExpired(Struct, frozen=True, kw_only=True):
    """The session reached the end of its life."""


class ProtocolViolated(Struct, frozen=True, kw_only=True):
    """An authenticated peer broke the protocol."""


class TerminateVerified(Struct, frozen=True, kw_only=True):
    """The client, the operator or the policy ended the session, with proof."""

    reason: Reason


class VersionExhausted(Struct, frozen=True, kw_only=True):
    """The next version is the last that 64 bits can number. Only the machine makes this input."""


Observation: TypeAlias = (
    QualityBreached | QualityRestored | VolatilityExpired | BindingLost | DegradationExpired
)
Input: TypeAlias = (
    VersionExhausted
    | SessionTtlExpired
    | OwnershipAmbiguous
    | ProtocolViolated
    | TerminateVerified
    | TransportLossTtlExpired
    | OwnershipMoved
    | BindingLost
    | RecoveryWindowClosed
    | VolatilityExpired
    | DegradationExpired
    | ReattachVerified
    | SwitchLimitReached
    | QualityBreached
    | QualityRestored
    | HandshakeVerified
    | HandshakeRefused
)
"""In the order in which inputs that fall due at the same instant are applied."""

INPUTS: Final[tuple[type[Input], ...]] = get_args(Input)
OBSERVATIONS: Final[tuple[type[Observation], ...]] = get_args(Observation)


def in_precedence(inputs: Iterable[Input]) -> list[Input]:
    """Return inputs of one instant in the order in which they are applied."""
    return sorted(inputs, key=lambda each: INPUTS.index(type(each)))


def named_reason(given: Input) -> Reason | None:
    """Return the reason that an input names, or None where the table's row fixes it."""
    reason: Reason | None = getattr(given, "reason", None)
    return reason
