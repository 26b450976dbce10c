"""What each type of event carries in `data`, typed. Fields may be added, never renamed."""

from typing import Final, TypeAlias, get_args

import msgspec

from jumping_vpn.core.policy.choice import Exclusion
from jumping_vpn.core.redaction import Shown
from jumping_vpn.core.session.model import State
from jumping_vpn.core.session.reasons import Reason


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured on the binding's path when the verdict was reached."""

    srtt_us: int
    base_rtt_us: int
    jitter_us: int
    base_jitter_us: int
    loss_in: float
    loss_out: float
    late_us: int


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """Why a jump was wanted and what it cost.

    `given_up_*` counts packets that retention dropped since the last jump, `in_doubt_*` those that
    may have been delivered and are never sent again; `up` is from the client, `down` to it.
    `left` is the transport that the session was last bound to. `silent_us` is the silence that the
    client had seen, 0 where silence was not the cause.
    """

    attempt: int
    cause: Reason
    left: Shown | None
    srtt_us: int = 0
    silent_us: int = 0
    given_up_up: int = 0
    given_up_down: int = 0
    in_doubt_up: int = 0
    in_doubt_down: int = 0
    client_window_lost: bool = False
    client_counter_lost: bool = False
    gateway_window_lost: bool = False
    gateway_counter_lost: bool = False


class CandidateFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate as a choice saw it; `excluded` says why it was left out."""

    transport: Shown
    measured: bool
    srtt_us: int
    loss: float
    stable_ms: int
    preference: int
    excluded: Exclusion | None


class MoveData(msgspec.Struct, frozen=True, kw_only=True):
    """One move. The version before it is one less than the envelope's.

    `input` names the input, `table` is the digest of the table that governed the move. Transports
    are null where there is no binding. `owner` and `ownership_epoch` are those after the move.
    """

    input: str
    state_before: State
    state_after: State
    epoch_before: int
    transport_before: Shown | None
    transport_after: Shown | None
    owner: int
    ownership_epoch: int
    table: str


class CreatedData(MoveData, frozen=True, kw_only=True):
    """A session exists: who the client is, what it was granted, and which session came before."""

    client: str
    client_key: str
    addresses: tuple[Shown, ...]
    predecessor: str | None


class ChangeData(MoveData, frozen=True, kw_only=True):
    """A change of state, with the figures behind a verdict of quality."""

    figures: Figures | None


class SwitchData(MoveData, frozen=True, kw_only=True):
    """A jump; null `handover` only in a client's own log."""

    handover: Handover | None


class EndData(MoveData, frozen=True, kw_only=True):
    """The end of a session."""

    lived_ms: int


class DeniedData(msgspec.Struct, frozen=True, kw_only=True):
    """A switch that policy did not allow, and the figures of the choice."""

    wanted: Shown | None
    switches_in_window: int
    retry_after_ms: int
    candidates: tuple[CandidateFigures, ...]


class AttemptData(msgspec.Struct, frozen=True, kw_only=True):
    """A client asks for a reattach over the chosen transports; with the figures of the choice."""

    attempt: int
    cause: Reason
    chosen: tuple[Shown, ...]
    candidates: tuple[CandidateFigures, ...]


class SuccessData(msgspec.Struct, frozen=True, kw_only=True):
    """A new binding carried its first packet, `waited_ms` after its acceptance."""

    attempt: int
    transport: Shown
    waited_ms: int


class RejectData(msgspec.Struct, frozen=True, kw_only=True):
    """A refused request; `check` is its number in the ladder, 0 where a client hears of it."""

    attempt: int
    check: int
    source: Shown | None
    answered: bool
    retry_after_ms: int


class CandidateData(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate came or went."""

    transport: Shown
    srtt_us: int
    loss: float


class SecurityData(msgspec.Struct, frozen=True, kw_only=True):
    """What failed, from where, and how often since the last such event."""

    what: str
    source: Shown | None
    count: int


class RateData(msgspec.Struct, frozen=True, kw_only=True):
    """Which limit refused how many things since the last such event."""

    limit: str
    source: Shown | None
    count: int


class OwnershipData(msgspec.Struct, frozen=True, kw_only=True):
    """The owner before and after; `handed_over` says that the receive window came along."""

    owner_before: int
    owner_after: int
    ownership_epoch_before: int
    ownership_epoch_after: int
    handed_over: bool


class PolicyData(msgspec.Struct, frozen=True, kw_only=True):
    """The policy before, as version and hash, and the names of the fields that changed."""

    policy_before: str
    changed: tuple[str, ...]


class NodeData(msgspec.Struct, frozen=True, kw_only=True):
    """A node's process: its incarnation, software version and the live sessions it knows."""

    incarnation: int
    software: str
    sessions: int


class FenceData(msgspec.Struct, frozen=True, kw_only=True):
    """How long ago the right to forward ended."""

    since_us: int


class StoreData(msgspec.Struct, frozen=True, kw_only=True):
    """The operation of the store that failed, and how often since the last such event."""

    operation: str
    count: int


class SinkData(msgspec.Struct, frozen=True, kw_only=True):
    """A sink's condition: `working` again or not, and how many events wait for it."""

    sink: str
    working: bool
    waiting: int


class DroppedData(msgspec.Struct, frozen=True, kw_only=True):
    """The gap: how many were given up, from `first` to `last` (`node_seq`; 0 if unknown)."""

    what: str
    first: int
    last: int
    count: int


class RefusedData(msgspec.Struct, frozen=True, kw_only=True):
    """An input that changed nothing; `epoch` is the binding that it was observed on, if any."""

    input: str
    state: State
    epoch: int | None


class PacketSizeData(msgspec.Struct, frozen=True, kw_only=True):
    """The largest packet of a path, in bytes of UDP payload, before and after."""

    transport: Shown
    size_before: int
    size_after: int


class SegmentationData(msgspec.Struct, frozen=True, kw_only=True):
    """The binding whose packets leave one by one from now on."""

    transport: Shown


Data: TypeAlias = (
    CreatedData
    | ChangeData
    | SwitchData
    | EndData
    | DeniedData
    | AttemptData
    | SuccessData
    | RejectData
    | CandidateData
    | SecurityData
    | RateData
    | OwnershipData
    | PolicyData
    | NodeData
    | FenceData
    | StoreData
    | SinkData
    | DroppedData
    | RefusedData
    | PacketSizeData
    | SegmentationData
)
DATA: Final[tuple[type[Data], ...]] = get_args(Data)
