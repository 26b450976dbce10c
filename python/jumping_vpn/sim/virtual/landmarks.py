"""What must happen sometimes: what the seeds of a run never reach, they show nothing about."""

from typing import Final

MOVES: Final = (
    "ATTACHED BindingLost",
    "ATTACHED QualityBreached",
    "ATTACHED ReattachVerified",
    "ATTACHED SessionTtlExpired",
    "ATTACHED TerminateVerified",
    "BIRTH HandshakeVerified",
    "DEGRADED BindingLost",
    "DEGRADED DegradationExpired",
    "DEGRADED QualityRestored",
    "DEGRADED ReattachVerified",
    "DEGRADED TerminateVerified",
    "DEGRADED TransportLossTtlExpired",
    "RECOVERING ReattachVerified",
    "RECOVERING RecoveryWindowClosed",
    "RECOVERING SwitchLimitReached",
    "RECOVERING TerminateVerified",
    "VOLATILE BindingLost",
    "VOLATILE QualityRestored",
    "VOLATILE ReattachVerified",
    "VOLATILE TerminateVerified",
    "VOLATILE VolatilityExpired",
)
"""State before and input: every row of the table that one gateway can see."""
REASONS: Final = (
    "INPUT_REFUSED STALE_SIGNAL",
    "NODE_FENCED FENCE_EXPIRED",
    "POLICY_CHANGED OPERATOR_REQUEST",
    "REATTACH_REJECT FRESHNESS_INVALID",
    "REATTACH_REJECT RACE_LOST",
    "REATTACH_REJECT STORE_UNAVAILABLE",
    "REATTACH_REJECT SWITCH_RATE_LIMITED",
    "SECURITY_EVENT NAT_REBINDING",
    "SECURITY_EVENT PROOF_INVALID",
    "SESSION_TERMINATED CLIENT_REQUEST",
    "SESSION_TERMINATED OPERATOR_REQUEST",
    "SESSION_TERMINATED TTL_SESSION_EXPIRED",
    "SESSION_TERMINATED TTL_TRANSPORT_LOSS_EXPIRED",
    "STATE_CHANGE CONFIRM_TIMEOUT",
    "STATE_CHANGE GATEWAY_RESTARTED",
    "STATE_CHANGE HEARTBEAT_LATE",
    "STATE_CHANGE HEARTBEAT_TIMEOUT",
    "STATE_CHANGE LATENCY_THRESHOLD_EXCEEDED",
    "STATE_CHANGE LINK_DOWN",
    "STATE_CHANGE LOSS_THRESHOLD_EXCEEDED",
    "STATE_CHANGE NAT_REBINDING",
    "STATE_CHANGE PATH_MTU_FAILED",
    "STATE_CHANGE SOCKET_ERROR",
    "STORE_UNAVAILABLE STORE_UNAVAILABLE",
    "TRANSPORT_SWITCH OPERATOR_SWITCH",
    "TRANSPORT_SWITCH QUALITY_SWITCH",
    "TRANSPORT_SWITCH REATTACH_SUCCESS",
)
"""What a gateway says, and why."""
ENDS: Final = (
    "TERMINATED CLIENT_REQUEST",
    "TERMINATED OPERATOR_REQUEST",
    "TERMINATED SESSION_GONE",
    "TERMINATED TTL_SESSION_EXPIRED",
    "TERMINATED TTL_TRANSPORT_LOSS_EXPIRED",
    "UNREACHABLE_OR_UNKNOWN ",
)
"""How a client's run ends."""
REQUIRED: Final[frozenset[str]] = frozenset(
    (
        *(f"move {each}" for each in MOVES),
        *(f"gateway {each}" for each in REASONS),
        *(f"client ends: {each}" for each in ENDS),
        "client EVENTS_DROPPED MOVES_UNTOLD",
        "store: a write was done and not acknowledged",
        "store: a write was neither done nor acknowledged",
        "store: a process dies BEFORE its write",
        "store: a process dies AFTER its write",
        "two sessions of one client followed each other",
    )
)
