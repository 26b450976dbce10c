"""The control messages: one typed definition each, from which everything else is made.

The wire codec, the validation, the JSON form of logs, the JSON Schema and the reference table in
the documentation come from these classes. Fields may be added, never renamed or given a new
meaning; an unknown field is ignored. Bounds are checked when a message is decoded.
"""

from enum import StrEnum
from typing import Annotated, Final, TypeAlias, get_args

from msgspec import Meta, Raw, Struct

from jumping_vpn.core.wire.constants import (
    ADDRESSES_MAX,
    ENDPOINTS_MAX,
    LOOKUP_ID_BYTES,
    LOOKUP_IDS_MAX,
    MOVES_MAX,
    NAME_SERVERS_MAX,
    POLICY_HASH_BYTES,
    PROTOCOL_VERSION,
    ROUTES_MAX,
    SESSION_ID_BYTES,
)

_U63: Final = 2**63 - 1
_U32: Final = 2**32 - 1

Count: TypeAlias = Annotated[int, Meta(ge=0, le=_U32)]
Serial: TypeAlias = Annotated[int, Meta(ge=0, le=_U63)]
WallMillis: TypeAlias = Annotated[int, Meta(ge=0, le=2**53, extra={"unit": "ms since 1970"})]
DurationMillis: TypeAlias = Annotated[int, Meta(ge=0, le=_U32, extra={"unit": "ms"})]
DurationMicros: TypeAlias = Annotated[int, Meta(ge=0, le=_U32, extra={"unit": "us"})]
Share: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0, extra={"unit": "share of packets"})]
Code: TypeAlias = Annotated[str, Meta(min_length=1, max_length=48, pattern=r"^[A-Z][A-Z0-9_]*$")]
Text: TypeAlias = Annotated[str, Meta(max_length=200)]
Name: TypeAlias = Annotated[str, Meta(max_length=64)]
Endpoint: TypeAlias = Annotated[str, Meta(min_length=3, max_length=120)]
Network: TypeAlias = Annotated[str, Meta(min_length=2, max_length=49)]
SessionBytes: TypeAlias = Annotated[
    bytes, Meta(min_length=SESSION_ID_BYTES, max_length=SESSION_ID_BYTES)
]
LookupId: TypeAlias = Annotated[bytes, Meta(min_length=LOOKUP_ID_BYTES, max_length=LOOKUP_ID_BYTES)]
LookupIds: TypeAlias = Annotated[tuple[LookupId, ...], Meta(max_length=LOOKUP_IDS_MAX)]
Endpoints: TypeAlias = Annotated[tuple[Endpoint, ...], Meta(max_length=ENDPOINTS_MAX)]
PolicyHash: TypeAlias = Annotated[
    bytes, Meta(min_length=POLICY_HASH_BYTES, max_length=POLICY_HASH_BYTES)
]
PolicyTerms: TypeAlias = Annotated[
    dict[Annotated[str, Meta(max_length=40)], int | float | tuple[Name, ...]],
    Meta(max_length=40),
]


class Trigger(StrEnum):
    """Why a client asks to be moved."""

    DEATH = "DEATH"
    """Its binding is dead; `cause` says how it knows."""
    PLANNED = "PLANNED"
    """A better time than later: the client moves before something it knows of happens."""
    QUALITY = "QUALITY"
    """Another path was better for a whole stability window."""
    OPERATOR = "OPERATOR"
    """A person or a program ordered it."""
    REKEY = "REKEY"
    """The binding is old, or has carried much: fresh keys on the same path."""


class HandshakeRefusal(StrEnum):
    """Why a gateway grants no session."""

    CLIENT_NOT_ALLOWED = "CLIENT_NOT_ALLOWED"
    """The key is known to the data plane and not allowed a session."""
    MESSAGE_MALFORMED = "MESSAGE_MALFORMED"
    """The HANDSHAKE_INIT could not be read."""
    NO_ADDRESS_LEFT = "NO_ADDRESS_LEFT"
    """Every inner address of a subnet is taken."""
    POLICY_REFUSED = "POLICY_REFUSED"
    """A field of the requested policy is unknown or out of its range; `detail` names it."""
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    """The session cannot be made durable."""
    VERSION_NOT_SUPPORTED = "VERSION_NOT_SUPPORTED"
    """The protocol version is not spoken here; `versions` lists those that are."""


class Candidate(Struct, frozen=True, kw_only=True):
    """The transport that a message asks to be bound to."""

    id: Annotated[Count, Meta(description="The client's number for it, never reused.")]
    adapter: Annotated[Name, Meta(description="`udp`; `tcp`, `quic` and custom ones later.")]
    interface: Annotated[Name, Meta(description="The client's local interface.")]
    endpoint: Annotated[Endpoint, Meta(description="The gateway's `host:port` it leads to.")]
    hops: Annotated[int, Meta(ge=0, le=16, description="Relays on the way.")] = 0


class SeenMove(Struct, frozen=True, array_like=True):
    """One transition that the authority made, for the client's log."""

    version: Annotated[Serial, Meta(description="The version it made.")]
    before: Annotated[Code, Meta(description="State before.")]
    after: Annotated[Code, Meta(description="State after.")]
    reason: Annotated[Code, Meta(description="Primary reason.")]
    ts_ms: Annotated[WallMillis, Meta(description="When, on the gateway's clock.")]
    transport: Annotated[
        Count, Meta(description="The candidate that it bound, 0 where it bound none.")
    ] = 0


Moves: TypeAlias = Annotated[tuple[SeenMove, ...], Meta(max_length=MOVES_MAX)]


class HandshakeInit(Struct, frozen=True, kw_only=True):
    """The client's first message under a new session's keys; it proves the handshake."""

    client_version: Annotated[Name, Meta(description="The client's software version.")]
    candidate: Annotated[Candidate, Meta(description="The transport of the first binding.")]
    policy: Annotated[
        PolicyTerms,
        Meta(description="Requested policy: the fields that differ from the defaults."),
    ] = {}
    predecessor: Annotated[
        SessionBytes | None,
        Meta(description="The ended session that this one explicitly follows."),
    ] = None


class HandshakeAck(Struct, frozen=True, kw_only=True):
    """The session exists and is durable; `ts_ms` of the envelope is the gateway's clock."""

    client_name: Annotated[Name, Meta(description="The name this client is configured under.")]
    owner: Annotated[int, Meta(ge=0, le=65535, description="The node that owns the session.")]
    policy: Annotated[
        PolicyTerms, Meta(description="Granted policy: the fields that differ from the defaults.")
    ]
    policy_version: Annotated[Count, Meta(description="Version of the granted policy.")]
    policy_hash: Annotated[PolicyHash, Meta(description="SHA-256 of the whole granted policy.")]
    addresses: Annotated[
        tuple[Network, ...],
        Meta(max_length=ADDRESSES_MAX, description="Inner addresses with prefix length."),
    ]
    routes: Annotated[
        tuple[Network, ...], Meta(max_length=ROUTES_MAX, description="Networks to send inside.")
    ]
    dns: Annotated[
        tuple[Network, ...], Meta(max_length=NAME_SERVERS_MAX, description="Inner name servers.")
    ]
    mtu: Annotated[
        int, Meta(ge=1280, le=65535, extra={"unit": "bytes"}, description="Inner packet size hint.")
    ]
    endpoints: Annotated[Endpoints, Meta(description="Ways to reach the cluster, best first.")]
    lookup_ids: Annotated[LookupIds, Meta(description="One for each path to use.")] = ()


class HandshakeReject(Struct, frozen=True, kw_only=True):
    """No session was created."""

    reason: Annotated[HandshakeRefusal, Meta(description="Why.")]
    detail: Annotated[Text, Meta(description="For a person: the field, the value, the range.")] = ""
    versions: Annotated[
        tuple[int, ...], Meta(max_length=8, description="Protocol versions spoken here.")
    ] = (PROTOCOL_VERSION,)
    retry_after_ms: Annotated[DurationMillis, Meta(description="0: do not retry unchanged.")] = 0


class ReattachRequest(Struct, frozen=True, kw_only=True):
    """The client asks for a binding.

    The attempt is in the packet's authenticated header and again in `sequence`; the last version
    and epoch seen are the envelope's; `ts_ms` is the gateway's time as the client estimates it.
    """

    trigger: Annotated[Trigger, Meta(description="Why the client asks.")]
    cause: Annotated[Code | None, Meta(description="With DEATH: the reason code of what died.")] = (
        None
    )
    candidate: Annotated[Candidate, Meta(description="The transport this copy was sent on.")]
    unused_lookup_ids: Annotated[Count, Meta(description="How many the client has left.")] = 0
    policy_version: Annotated[Count, Meta(description="The policy the client knows.")] = 0
    detect_ms: Annotated[
        DurationMillis, Meta(description="From the first overdue heartbeat to the verdict.")
    ] = 0


class ReattachAck(Struct, frozen=True, kw_only=True):
    """The request was accepted; the envelope holds the new version, epoch and clock."""

    owner: Annotated[int, Meta(ge=0, le=65535, description="The node whose keys the binding has.")]
    moves: Annotated[Moves, Meta(description="Moves the client has not seen, oldest first.")]
    moves_omitted: Annotated[Count, Meta(description="Older unseen moves that did not fit.")] = 0
    lookup_ids: Annotated[LookupIds, Meta(description="Fresh ones.")] = ()
    policy_version: Annotated[Count, Meta(description="The session's policy.")] = 0
    window_lost: Annotated[
        bool, Meta(description="The gateway lost its receive window; what was sent is in doubt.")
    ] = False
    given_up: Annotated[
        Count, Meta(description="Downlink packets given up since the last jump.")
    ] = 0
    in_doubt: Annotated[
        Count, Meta(description="Downlink packets counted as lost since receipt is unknown.")
    ] = 0


class ReattachReject(Struct, frozen=True, kw_only=True):
    """The request was refused; the envelope holds the authority's version, epoch and clock."""

    reason: Annotated[Code, Meta(description="The rung of the ladder that did not hold.")]
    retry_after_ms: Annotated[DurationMillis, Meta(description="Not before; 0: at once.")] = 0
    endpoints: Annotated[Endpoints, Meta(description="With NOT_OWNER: where the owner is.")] = ()
    detail: Annotated[Text, Meta(description="For a person.")] = ""


class TransportDead(Struct, frozen=True, kw_only=True):
    """I have given up binding `epoch`, over whatever still works."""

    epoch: Annotated[Serial, Meta(description="The binding given up.")]
    cause: Annotated[Code, Meta(description="The reason code.")]


class StateNotice(Struct, frozen=True, kw_only=True):
    """Transitions made by the authority, oldest first; repeated until acknowledged."""

    moves: Annotated[Moves, Meta(description="The moves.")]


class StateAck(Struct, frozen=True, kw_only=True):
    """The client has seen every move up to `version`."""

    version: Annotated[Serial, Meta(description="The newest version seen.")]


class PathReport(Struct, frozen=True, kw_only=True):
    """Figures of the active path and, when they run short, the request for and grant of lookup ids.

    The heartbeat with its receive report is a native packet; see the packet layouts.
    """

    srtt_us: Annotated[DurationMicros, Meta(description="Smoothed round-trip time; 0: none.")] = 0
    jitter_us: Annotated[DurationMicros, Meta(description="Smoothed variation of it.")] = 0
    loss_in: Annotated[Share, Meta(description="Loss towards the sender of this report.")] = 0.0
    loss_out: Annotated[Share, Meta(description="Loss away from it.")] = 0.0
    unused_lookup_ids: Annotated[
        Count | None, Meta(description="From the client: how many are left.")
    ] = None
    lookup_ids: Annotated[LookupIds, Meta(description="From the gateway: fresh ones.")] = ()


class PolicyChanged(Struct, frozen=True, kw_only=True):
    """The session moved to another policy."""

    policy: Annotated[PolicyTerms, Meta(description="The fields that differ from the defaults.")]
    policy_version: Annotated[Count, Meta(description="The new version.")]
    policy_hash: Annotated[PolicyHash, Meta(description="SHA-256 of the whole policy.")]


class EndpointsChanged(Struct, frozen=True, kw_only=True):
    """The ways to reach the cluster changed."""

    endpoints: Annotated[Endpoints, Meta(description="All of them, best first.")]


class Terminate(Struct, frozen=True, kw_only=True):
    """The session is over (from the gateway), or shall be (from the client)."""

    reason: Annotated[Code, Meta(description="The reason code.")]
    detail: Annotated[Text, Meta(description="For a person.")] = ""


class TerminateAck(Struct, frozen=True, kw_only=True):
    """The session is over; its secrets are erased."""

    reason: Annotated[Code, Meta(description="The reason code of the termination.")]


class MessageReject(Struct, frozen=True, kw_only=True):
    """The answer to a message of an unknown type, which it names."""

    rejected_type: Annotated[Text, Meta(description="The type that is not known here.")]
    rejected_sequence: Annotated[Serial, Meta(description="Its sequence.")]


Payload: TypeAlias = (
    HandshakeInit
    | HandshakeAck
    | HandshakeReject
    | ReattachRequest
    | ReattachAck
    | ReattachReject
    | TransportDead
    | StateNotice
    | StateAck
    | PathReport
    | PolicyChanged
    | EndpointsChanged
    | Terminate
    | TerminateAck
    | MessageReject
)
PAYLOADS: Final[tuple[type[Payload], ...]] = get_args(Payload)


def _wire_name(payload: type[Payload]) -> str:
    words = "".join(f"_{c}" if c.isupper() else c for c in payload.__name__)
    return words.lstrip("_").upper()


MESSAGE_TYPES: Final[dict[str, type[Payload]]] = {_wire_name(p): p for p in PAYLOADS}
TYPE_NAMES: Final[dict[type[Payload], str]] = {p: name for name, p in MESSAGE_TYPES.items()}


class Envelope(Struct, frozen=True, kw_only=True):
    """What every control message carries around its payload; `message_type` is the payload's class.

    `state_version` and `binding_epoch` are the last ones that the sender knows. `ts_ms` is the
    gateway's wall clock, from a client its estimate. `sequence` is accepted once per session and
    direction; of a REATTACH_REQUEST and its answer it is the attempt.
    """

    session_id: bytes
    state_version: int
    binding_epoch: int
    ts_ms: int
    sequence: int
    payload: Payload


class WireEnvelope(Struct, frozen=True, kw_only=True):
    """The envelope as it is on the wire; `payload` is the message of `message_type`."""

    protocol_version: Annotated[
        int, Meta(ge=0, le=255, description="1. Another one is answered with a reject.")
    ]
    message_type: Annotated[
        str, Meta(min_length=1, max_length=48, description="The name of the message.")
    ]
    session_id: Annotated[SessionBytes, Meta(description="The session; never changes.")]
    state_version: Annotated[Serial, Meta(description="The newest version the sender knows.")]
    binding_epoch: Annotated[Serial, Meta(description="The newest epoch the sender knows.")]
    ts_ms: Annotated[
        WallMillis, Meta(description="The gateway's clock; from a client, its estimate of it.")
    ]
    sequence: Annotated[
        Serial, Meta(description="Accepted once per session and direction; a request's attempt.")
    ]
    payload: Annotated[Raw, Meta(description="The fields of the message.")]
