"""Events: the envelope, the registry of types, and moves turned into events.

`node_seq`, `prev_hash` and `hash` belong to the node's log; they are filled in when an event is
exported, not when it is saved with its move.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from jumping_vpn.core import event_data as d
from jumping_vpn.core.facts import PathSampled
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.choice import Decision
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.record import Record
from jumping_vpn.core.redaction import Shown, show, show_transport
from jumping_vpn.core.session.inputs import HandshakeVerified, Input, ReattachVerified
from jumping_vpn.core.session.invariants import ensure
from jumping_vpn.core.session.machine import Moved, Refused
from jumping_vpn.core.session.model import Session, State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.session.table import TABLE_DIGEST


class Severity(StrEnum):
    """How much an event wants attention."""

    INFO = "INFO"
    NOTICE = "NOTICE"
    WARNING = "WARNING"
    ERROR = "ERROR"


class EventType(StrEnum):
    """What happened. Append-only; each member says what it means and how severe it is."""

    def __new__(cls, value: str, severity: Severity, meaning: str) -> "EventType":
        """Make the member `value`."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.severity = severity
        member.meaning = meaning
        return member

    severity: Severity
    meaning: str

    SESSION_CREATED = "SESSION_CREATED", Severity.INFO, "A move: a handshake was verified."
    STATE_CHANGE = (
        "STATE_CHANGE",
        Severity.NOTICE,
        "A move that neither creates, switches nor ends the session.",
    )
    TRANSPORT_SWITCH = "TRANSPORT_SWITCH", Severity.NOTICE, "A move: a reattach was accepted."
    SWITCH_DENIED = "SWITCH_DENIED", Severity.NOTICE, "A wanted switch was not allowed."
    REATTACH_ATTEMPT = "REATTACH_ATTEMPT", Severity.INFO, "The client asks for a reattach."
    REATTACH_SUCCESS = "REATTACH_SUCCESS", Severity.INFO, "A jump's binding is confirmed."
    REATTACH_REJECT = "REATTACH_REJECT", Severity.NOTICE, "A request for a reattach was refused."
    CANDIDATE_UP = "CANDIDATE_UP", Severity.INFO, "A candidate transport became usable."
    CANDIDATE_DOWN = "CANDIDATE_DOWN", Severity.INFO, "A candidate stopped being usable."
    SECURITY_EVENT = (
        "SECURITY_EVENT",
        Severity.WARNING,
        "Something failed authentication or broke the protocol.",
    )
    RATE_LIMIT_TRIGGER = "RATE_LIMIT_TRIGGER", Severity.NOTICE, "A rate limit refused something."
    OWNERSHIP_MOVED = "OWNERSHIP_MOVED", Severity.NOTICE, "The session's owner changed."
    POLICY_CHANGED = "POLICY_CHANGED", Severity.NOTICE, "The session's policy was replaced."
    SESSION_TERMINATED = "SESSION_TERMINATED", Severity.NOTICE, "A move: the session is over."
    NODE_STARTED = "NODE_STARTED", Severity.INFO, "The node began; its incarnation is durable."
    NODE_FENCED = "NODE_FENCED", Severity.ERROR, "The node lost its right to forward."
    NODE_STOPPED = "NODE_STOPPED", Severity.INFO, "The node ended in an orderly way."
    STORE_UNAVAILABLE = (
        "STORE_UNAVAILABLE",
        Severity.ERROR,
        "The store could not be reached or could not write.",
    )
    SINK_DEGRADED = "SINK_DEGRADED", Severity.WARNING, "A sink is failing, or works again."
    EVENTS_DROPPED = "EVENTS_DROPPED", Severity.WARNING, "Events were given up; the gap is named."
    INPUT_REFUSED = "INPUT_REFUSED", Severity.INFO, "The machine refused an input."
    PACKET_SIZE_CHANGED = (
        "PACKET_SIZE_CHANGED",
        Severity.INFO,
        "Packets on a path are larger or smaller from now on.",
    )
    SEGMENTATION_GIVEN_UP = "SEGMENTATION_GIVEN_UP", Severity.NOTICE, "Packets leave one by one."


DATA_OF: Final[dict[EventType, type[d.Data]]] = {
    EventType.SESSION_CREATED: d.CreatedData,
    EventType.STATE_CHANGE: d.ChangeData,
    EventType.TRANSPORT_SWITCH: d.SwitchData,
    EventType.SWITCH_DENIED: d.DeniedData,
    EventType.REATTACH_ATTEMPT: d.AttemptData,
    EventType.REATTACH_SUCCESS: d.SuccessData,
    EventType.REATTACH_REJECT: d.RejectData,
    EventType.CANDIDATE_UP: d.CandidateData,
    EventType.CANDIDATE_DOWN: d.CandidateData,
    EventType.SECURITY_EVENT: d.SecurityData,
    EventType.RATE_LIMIT_TRIGGER: d.RateData,
    EventType.OWNERSHIP_MOVED: d.OwnershipData,
    EventType.POLICY_CHANGED: d.PolicyData,
    EventType.SESSION_TERMINATED: d.EndData,
    EventType.NODE_STARTED: d.NodeData,
    EventType.NODE_FENCED: d.FenceData,
    EventType.NODE_STOPPED: d.NodeData,
    EventType.STORE_UNAVAILABLE: d.StoreData,
    EventType.SINK_DEGRADED: d.SinkData,
    EventType.EVENTS_DROPPED: d.DroppedData,
    EventType.INPUT_REFUSED: d.RefusedData,
    EventType.PACKET_SIZE_CHANGED: d.PacketSizeData,
    EventType.SEGMENTATION_GIVEN_UP: d.SegmentationData,
}
MOVE_TYPES: Final = (
    EventType.SESSION_CREATED,
    EventType.STATE_CHANGE,
    EventType.TRANSPORT_SWITCH,
    EventType.SESSION_TERMINATED,
)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, for auditors: an envelope around the type's data.

    `policy_version` is "version:hash" of the session's policy, or null.
    `node_id` names the node or client that wrote the event. `session_id` is hexadecimal; it,
    `state_version` and `binding_epoch` are null where the event is about no session.
    """

    event_id: str
    ts_ms: int
    event_type: EventType
    severity: Severity
    node_id: str
    node_seq: int
    session_id: str | None
    state_version: int | None
    binding_epoch: int | None
    reason_code: Reason
    policy_version: str | None
    data: d.Data
    prev_hash: str
    hash: str


class Stamp(Struct, frozen=True, kw_only=True):
    """When an event is written, and 8 random bytes for its id; `ordinal` orders one instant's."""

    wall_ms: int
    entropy: bytes
    ordinal: int = 0

    def next(self) -> "Stamp":
        """Return the stamp of the event that follows in the same instant."""
        return Stamp(wall_ms=self.wall_ms, entropy=self.entropy, ordinal=self.ordinal + 1)

    def event_id(self) -> str:
        """Return a UUIDv7 (RFC 9562), with the ordinal as its counter."""
        random = int.from_bytes(self.entropy[:8], "big") & (1 << 62) - 1
        ordinal = self.ordinal & 0xFFF
        value = (self.wall_ms & (1 << 48) - 1) << 80 | 7 << 76 | ordinal << 64 | 2 << 62 | random
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Origin(Struct, frozen=True, kw_only=True):
    """Who writes events, and whether addresses are shown whole in them."""

    node_id: str
    reveal_addresses: bool


@lru_cache(maxsize=256)
def policy_mark(version: int, policy: Policy) -> str:
    """Return what stands for a policy in events: its version and its hash."""
    return f"{version}:{policy.hash()}"


def make_event(  # noqa: PLR0913  the parts of the envelope
    event_type: EventType,
    reason: Reason,
    data: d.Data,
    *,
    origin: Origin,
    stamp: Stamp,
    session: Session | None,
    policy: str | None,
) -> Event:
    """Return an event about `session`; `policy` is its `policy_mark`."""
    ensure(type(data) is DATA_OF[event_type], "{} in a {}", type(data).__name__, event_type)
    return Event(
        event_id=stamp.event_id(),
        ts_ms=stamp.wall_ms,
        event_type=event_type,
        severity=severity_of(event_type, reason),
        node_id=origin.node_id,
        node_seq=0,
        session_id=None if session is None else session.session_id.hex(),
        state_version=None if session is None else session.version,
        binding_epoch=None if session is None else session.epoch,
        reason_code=reason,
        policy_version=policy,
        data=data,
        prev_hash="",
        hash="",
    )


class Subject(Struct, frozen=True, kw_only=True):
    """What events tell about a session besides its moves."""

    policy: str
    client_name: str
    client_public: bytes
    addresses: tuple[str, ...]
    predecessor: bytes | None
    created_wall_ms: int


def subject_of(record: Record) -> Subject:
    """Return what events tell about the session of `record`."""
    return Subject(
        policy=policy_mark(record.policy_version, record.policy),
        client_name=record.client_name,
        client_public=record.client_public,
        addresses=record.addresses,
        predecessor=record.predecessor,
        created_wall_ms=record.created_wall_ms,
    )


def event_of_move(
    moved: Moved,
    subject: Subject,
    *,
    origin: Origin,
    stamp: Stamp,
    detail: d.Handover | d.Figures | None = None,
) -> Event:
    """Return the one event of a move; `detail` tells a jump's cost or a verdict's figures."""
    event_type = move_type_of(type(moved.input), moved.after.state)
    common = _move_fields(moved, origin)
    data: d.Data
    match event_type:
        case EventType.SESSION_CREATED:
            data = d.CreatedData(
                **common,
                client=subject.client_name,
                client_key=subject.client_public.hex(),
                addresses=tuple(
                    show(each, reveal=origin.reveal_addresses) for each in subject.addresses
                ),
                predecessor=None if subject.predecessor is None else subject.predecessor.hex(),
            )
        case EventType.TRANSPORT_SWITCH:
            handover = detail if isinstance(detail, d.Handover) else None
            data = d.SwitchData(**common, handover=handover)
        case EventType.SESSION_TERMINATED:
            data = d.EndData(**common, lived_ms=max(0, stamp.wall_ms - subject.created_wall_ms))
        case _:
            figures = detail if isinstance(detail, d.Figures) else None
            data = d.ChangeData(**common, figures=figures)
    return make_event(
        event_type,
        moved.reason,
        data,
        origin=origin,
        stamp=stamp,
        session=moved.after,
        policy=subject.policy,
    )


def move_type_of(given: type[Input], after: State) -> EventType:
    """Return the type of the event that a move by an input to the state `after` writes."""
    if given is HandshakeVerified:
        return EventType.SESSION_CREATED
    if given is ReattachVerified:
        return EventType.TRANSPORT_SWITCH
    if after is State.TERMINATED:
        return EventType.SESSION_TERMINATED
    return EventType.STATE_CHANGE


def event_of_refusal(refused: Refused, subject: Subject, *, origin: Origin, stamp: Stamp) -> Event:
    """Return the event of an input that the machine refused."""
    observed: int | None = getattr(refused.input, "epoch", None)
    return make_event(
        EventType.INPUT_REFUSED,
        refused.reason,
        d.RefusedData(
            input=type(refused.input).__name__, state=refused.session.state, epoch=observed
        ),
        origin=origin,
        stamp=stamp,
        session=refused.session,
        policy=subject.policy,
    )


def severity_of(event_type: EventType, reason: Reason) -> Severity:
    """Return how severe an event is: its type's severity, or what its reason raises it to."""
    return RAISED.get(reason, event_type.severity)


RAISED: Final = {
    Reason.SECURITY_VIOLATION: Severity.ERROR,
    Reason.OWNERSHIP_AMBIGUOUS: Severity.ERROR,
    Reason.VERSION_EXHAUSTED: Severity.ERROR,
    Reason.VERSION_AHEAD: Severity.WARNING,
    Reason.PATH_MTU_FAILED: Severity.NOTICE,
}


def encode_event(event: Event) -> bytes:
    """Return the canonical JSON of an event: fields in the order of the envelope, no spaces."""
    return msgspec.json.encode(event)


def decode_event(line: bytes) -> Event:
    """Return the event of a line of JSON; msgspec.DecodeError says what is wrong with it."""
    raw = _RAW.decode(line)
    data = _DATA_DECODERS[raw.event_type].decode(raw.data)
    parts = {name: getattr(raw, name) for name in Event.__struct_fields__ if name != "data"}
    return Event(**parts, data=data)


def check_event(line: bytes) -> None:
    """Raise what `decode_event` would, at less cost: nothing is made of the line."""
    raw = _RAW.decode(line)
    _DATA_DECODERS[raw.event_type].decode(raw.data)


class _RawEvent(Event, frozen=True, kw_only=True):
    """The envelope with its data still encoded: the type in front says how to read it."""

    data: msgspec.Raw  # type: ignore[assignment]


_RAW: Final = msgspec.json.Decoder(_RawEvent)
_DATA_DECODERS: Final = {each: msgspec.json.Decoder(data) for each, data in DATA_OF.items()}


def _move_fields(moved: Moved, origin: Origin) -> dict[str, Any]:
    before, after = moved.before, moved.after
    reveal = origin.reveal_addresses
    return {
        "input": type(moved.input).__name__,
        "state_before": before.state,
        "state_after": after.state,
        "epoch_before": before.epoch,
        "transport_before": _shown_binding(before, reveal=reveal),
        "transport_after": _shown_binding(after, reveal=reveal),
        "owner": after.owner,
        "ownership_epoch": after.ownership_epoch,
        "table": TABLE_DIGEST,
    }


def _shown_binding(session: Session, *, reveal: bool) -> Shown | None:
    if session.binding is None:
        return None
    return show_transport(session.binding.transport, reveal=reveal)


def candidate_figures(
    decision: Decision, *, origin: Origin, now: Millis
) -> tuple[d.CandidateFigures, ...]:
    """Return the figures of a choice, in its order, as events carry them."""
    return tuple(
        d.CandidateFigures(
            transport=show_transport(each.candidate.transport, reveal=origin.reveal_addresses),
            measured=each.candidate.measured,
            srtt_us=each.candidate.srtt_us,
            loss=each.candidate.loss,
            stable_ms=max(0, now - each.candidate.stable_since),
            preference=each.candidate.preference,
            excluded=each.excluded,
        )
        for each in decision.considered
    )


def figures_of(sample: PathSampled) -> d.Figures:
    """Return the figures of a sample, for the event of the verdict made from it."""
    return d.Figures(
        srtt_us=sample.srtt_us,
        base_rtt_us=sample.base_rtt_us,
        jitter_us=sample.jitter_us,
        base_jitter_us=sample.base_jitter_us,
        loss_in=sample.loss_in,
        loss_out=sample.loss_out,
        late_us=sample.late_us,
    )
