"""What reaches a role besides facts from the data plane: commands, and what discovery finds."""

from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from jumping_vpn.core.policy.limits import Policy
    from jumping_vpn.core.session.reasons import Reason


# Gateway: what an operator orders.


class Terminate(Struct, frozen=True, kw_only=True):
    """End this session: OPERATOR_REQUEST or POLICY_TERMINATION."""

    reason: "Reason"
    detail: str = ""


class ChangePolicy(Struct, frozen=True, kw_only=True):
    """Move this session to another policy, explicitly."""

    policy: "Policy"
    policy_version: int


class AnnounceEndpoints(Struct, frozen=True, kw_only=True):
    """Tell this session's client the ways to reach the gateway."""

    endpoints: tuple[str, ...]


class Drain(Struct, frozen=True, kw_only=True):
    """Give the binding up in good order; the client reattaches where it can (GATEWAY_DRAINED)."""


Command: TypeAlias = Terminate | ChangePolicy | AnnounceEndpoints | Drain


# Client: what discovery finds and the person at the machine orders.


class CandidateAppeared(Struct, frozen=True, kw_only=True):
    """A local interface leads to this endpoint; `preference` is the operator's, low first."""

    interface: str
    endpoint: str
    adapter: str = "udp"
    hops: int = 0
    preference: int = 0


class CandidateGone(Struct, frozen=True, kw_only=True):
    """The interface, its address or its route went away, or the path cannot be opened.

    `endpoint` None means every candidate of the interface. The cause is LINK_DOWN or SOCKET_ERROR.
    """

    interface: str
    endpoint: str | None
    cause: "Reason"


class OperatorJump(Struct, frozen=True, kw_only=True):
    """Jump now, make before break; `transport` names an interface or transport, None the best."""

    transport: str | None


class GoDown(Struct, frozen=True, kw_only=True):
    """End the session for good (`jvpn down`): TERMINATE is sent and secrets are erased."""


class Stop(Struct, frozen=True, kw_only=True):
    """Stop the process and keep the session for the next start."""


Discovery: TypeAlias = CandidateAppeared | CandidateGone | OperatorJump | GoDown | Stop
