"""What reaches a role besides facts from the data plane: commands, and what discovery finds."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from jumping_vpn.core.policy.limits import Policy
    from jumping_vpn.core.session.reasons import Reason


# Gateway: what an operator orders.


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminate:
    """End this session: OPERATOR_REQUEST or POLICY_TERMINATION."""

    reason: "Reason"
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePolicy:
    """Move this session to another policy, explicitly."""

    policy: "Policy"
    policy_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceEndpoints:
    """Tell this session's client the ways to reach the gateway."""

    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Give the binding up in good order; the client reattaches where it can (GATEWAY_DRAINED)."""


Command: TypeAlias = Terminate | ChangePolicy | AnnounceEndpoints | Drain


# Client: what discovery finds and the person at the machine orders.


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateAppeared:
    """A local interface leads to this endpoint; `preference` is the operator's, low first."""

    interface: str
    endpoint: str
    adapter: str = "udp"
    hops: int = 0
    preference: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateGone:
    """The interface, its address or its route went away, or the path cannot be opened.

    `endpoint` None means every candidate of the interface. The cause is LINK_DOWN or SOCKET_ERROR.
    """

    interface: str
    endpoint: str | None
    cause: "Reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorJump:
    """Jump now, make before break; `transport` names an interface or transport, None the best."""

    transport: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoDown:
    """End the session for good (`jvpn down`): TERMINATE is sent and secrets are erased."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop the process and keep the session for the next start."""


Discovery: TypeAlias = CandidateAppeared | CandidateGone | OperatorJump | GoDown | Stop
