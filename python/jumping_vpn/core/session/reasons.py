"""Reasons: the one closed vocabulary of why. Append-only; each says what it means.

The same codes stand in moves, refusals, events, messages and metrics.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why something happened or was refused."""

    def __new__(cls, value: str, meaning: str) -> "Reason":
        """Make the member `value` that says what it means."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    meaning: str

    # Moves, in the order of the table.
    HANDSHAKE_OK = "HANDSHAKE_OK", "The client's first packet under the session's keys arrived."
    HANDSHAKE_FAIL = "HANDSHAKE_FAIL", "The handshake was refused."
    HANDSHAKE_TIMEOUT = "HANDSHAKE_TIMEOUT", "The client never proved its handshake."
    LOSS_THRESHOLD_EXCEEDED = "LOSS_THRESHOLD_EXCEEDED", "Loss is above loss_threshold."
    LATENCY_THRESHOLD_EXCEEDED = (
        "LATENCY_THRESHOLD_EXCEEDED",
        "The round-trip time is above latency_floor and latency_factor times its baseline.",
    )
    JITTER_THRESHOLD_EXCEEDED = (
        "JITTER_THRESHOLD_EXCEEDED",
        "Jitter is above latency_floor and jitter_factor times its baseline.",
    )
    HEARTBEAT_LATE = "HEARTBEAT_LATE", "Delivery is unproven for longer than a heartbeat allows."
    HEALTH_RECOVERED = "HEALTH_RECOVERED", "Every figure was inside its bound for long enough."
    VOLATILITY_PERSISTED = "VOLATILITY_PERSISTED", "The path stayed volatile for volatile_max."
    LINK_DOWN = "LINK_DOWN", "The link, address or route under the binding went away."
    HEARTBEAT_TIMEOUT = "HEARTBEAT_TIMEOUT", "A direction was silent to the bound of the budget."
    SOCKET_ERROR = "SOCKET_ERROR", "The binding's socket failed."
    NAT_REBINDING = "NAT_REBINDING", "A NAT moved the client's address."
    PATH_MTU_FAILED = "PATH_MTU_FAILED", "The path passes small packets and eats large ones."
    GATEWAY_RESTARTED = "GATEWAY_RESTARTED", "The gateway's process was started again."
    CONFIRM_TIMEOUT = "CONFIRM_TIMEOUT", "No packet came under the new binding's keys in time."
    PEER_REPORTED = "PEER_REPORTED", "The peer gave the binding up."
    REATTACH_SUCCESS = "REATTACH_SUCCESS", "The session returned after it lost its binding."
    PLANNED_SWITCH = "PLANNED_SWITCH", "A planned jump, made before the old binding broke."
    QUALITY_SWITCH = "QUALITY_SWITCH", "Another transport was better for long enough."
    OPERATOR_SWITCH = "OPERATOR_SWITCH", "A person asked for this transport."
    REKEY = "REKEY", "A jump onto the same transport, for fresh keys."
    SWITCH_RATE_LIMITED = "SWITCH_RATE_LIMITED", "The budget of switches is used up."
    RECOVERY_BOUNDS_EXCEEDED = "RECOVERY_BOUNDS_EXCEEDED", "The recovery window closed."
    EXIT_DEGRADED_MODE = "EXIT_DEGRADED_MODE", "A degraded binding became stable again."
    DEGRADED_TTL_EXPIRED = "DEGRADED_TTL_EXPIRED", "The session stayed degraded too long."
    TTL_TRANSPORT_LOSS_EXPIRED = (
        "TTL_TRANSPORT_LOSS_EXPIRED",
        "No binding returned within transport_loss_ttl.",
    )
    OWNERSHIP_TRANSFERRED = "OWNERSHIP_TRANSFERRED", "Another gateway owns the session."
    GATEWAY_DRAINED = "GATEWAY_DRAINED", "The operator moved sessions off this gateway."
    OWNERSHIP_AMBIGUOUS = "OWNERSHIP_AMBIGUOUS", "The store contradicts what was acknowledged."
    TTL_SESSION_EXPIRED = "TTL_SESSION_EXPIRED", "The session reached session_ttl."
    SECURITY_VIOLATION = "SECURITY_VIOLATION", "An authenticated peer broke the protocol."
    CLIENT_REQUEST = "CLIENT_REQUEST", "The client asked for it."
    OPERATOR_REQUEST = "OPERATOR_REQUEST", "The operator asked for it."
    POLICY_TERMINATION = "POLICY_TERMINATION", "The policy demands the end."
    VERSION_EXHAUSTED = "VERSION_EXHAUSTED", "The state version cannot grow further."

    # Refusals of the machine.
    NO_SUCH_MOVE = "NO_SUCH_MOVE", "The table has no row for this state and input."
    STALE_SIGNAL = "STALE_SIGNAL", "The session has left the binding that was observed."

    # Refusals of a reattach, in the order of the ladder, and of a handshake.
    LOOKUP_INVALID = "LOOKUP_INVALID", "The lookup id was not issued by this cluster."
    SESSION_GONE = "SESSION_GONE", "The session is over."
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE", "The store cannot be reached or cannot write."
    PROOF_INVALID = "PROOF_INVALID", "A packet's proof of possession did not verify."
    REPLAY_DETECTED = "REPLAY_DETECTED", "The attempt number was used before."
    RACE_LOST = "RACE_LOST", "Another candidate of the same attempt was accepted first."
    RATE_LIMITED = "RATE_LIMITED", "Requests came faster than the policy's rate."
    FRESHNESS_INVALID = "FRESHNESS_INVALID", "The request is older than proof_max_age."
    NOT_OWNER = "NOT_OWNER", "Another gateway owns the session."
    VERSION_AHEAD = "VERSION_AHEAD", "The client has seen a newer version than the authority."
    TRANSPORT_NOT_ALLOWED = "TRANSPORT_NOT_ALLOWED", "The policy does not allow the transport."
    COOLDOWN_ACTIVE = "COOLDOWN_ACTIVE", "The last switch is too recent."
    CONCURRENT_UPDATE = "CONCURRENT_UPDATE", "The record changed meanwhile."
    OWNERSHIP_CONFLICT = "OWNERSHIP_CONFLICT", "Another gateway won the session."
    CLIENT_UNKNOWN = "CLIENT_UNKNOWN", "The client's key is not allowed here."
    ADDRESS_POOL_EXHAUSTED = "ADDRESS_POOL_EXHAUSTED", "No inner address is free."
    CAPACITY_REACHED = "CAPACITY_REACHED", "The gateway holds as many sessions as it may."
    POLICY_REFUSED = "POLICY_REFUSED", "The requested policy is not acceptable."
    VERSION_UNSUPPORTED = "VERSION_UNSUPPORTED", "The protocol version is not spoken here."
    MESSAGE_MALFORMED = "MESSAGE_MALFORMED", "A message could not be decoded."
    MESSAGE_UNKNOWN = "MESSAGE_UNKNOWN", "A message has a type that is not known here."
    MESSAGE_OUT_OF_ORDER = "MESSAGE_OUT_OF_ORDER", "A control sequence or a version went back."

    # Candidates and choices of the client.
    CANDIDATE_FOUND = "CANDIDATE_FOUND", "A usable interface and endpoint appeared."
    CANDIDATE_ANSWERED = "CANDIDATE_ANSWERED", "The candidate answered a probe after silence."
    CANDIDATE_SILENT = "CANDIDATE_SILENT", "The candidate stopped answering its probes."
    NO_CANDIDATE = "NO_CANDIDATE", "No candidate is usable."
    PACKET_SIZE_FOUND = "PACKET_SIZE_FOUND", "A full-size probe was answered by as many bytes."
    TRAINS_REFUSED = "TRAINS_REFUSED", "This host takes no message that is to be segmented."
    TRAINS_VANISHED = (
        "TRAINS_VANISHED",
        "Segmented messages vanish on the way, and single packets pass.",
    )
    NOT_BETTER = "NOT_BETTER", "No candidate beats the present one for long enough."

    # A node and its event log.
    NODE_START = "NODE_START", "The node's process began."
    NODE_STOP = "NODE_STOP", "The node's process ended in an orderly way."
    FENCE_EXPIRED = "FENCE_EXPIRED", "The right to forward was not extended in time."
    SINK_FAILED = "SINK_FAILED", "A sink of events is slow, full or gone."
    QUEUE_OVERFLOW = "QUEUE_OVERFLOW", "A bounded queue was full."
    EVENT_DAMAGED = "EVENT_DAMAGED", "An event was damaged before it was exported."
    MOVES_UNTOLD = "MOVES_UNTOLD", "The authority did not tell a client these of its moves."
