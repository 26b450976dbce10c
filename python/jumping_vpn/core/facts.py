"""What the data plane reports to the core: one class per fact, in the order they were found.

A fact is already proven by the time it exists: the packet behind it was opened with the key that
the fact's name implies. Times are milliseconds of the process's monotonic clock unless a name says
otherwise.
"""

from typing import Final, TypeAlias, get_args

from msgspec import Struct


class BirthProven(Struct, frozen=True, kw_only=True):
    """A client's first packet under a new session's keys: a CONTROL packet with HANDSHAKE_INIT."""

    birth: int
    session_id: bytes
    client_public: bytes
    source: str
    message: bytes


class ReattachRequested(Struct, frozen=True, kw_only=True):
    """A REATTACH_REQUEST whose proof of possession verified; the gateway's ladder decides.

    `token` names the opened request in the data plane until it is answered or forgotten.
    `proven_by_epoch` is the epoch of the root that opened it. `source_verified` says that the
    source address answered a probe challenge of this session within 60 s. `in_doubt` counts the
    client's packets that were sent and not reported; `given_up` what its retention dropped since
    its last jump.
    """

    token: int
    number: int
    proven_by_epoch: int
    attempt: int
    digest: bytes
    source: str
    source_verified: bool
    srtt_us: int
    sent_up_to: int
    window_lost: bool
    counter_lost: bool
    in_doubt: int
    given_up: int
    message: bytes


class SessionWanted(Struct, frozen=True, kw_only=True):
    """A genuine lookup id names a session that the data plane does not hold: ask the store."""

    token: int
    number: int
    source: str


class MessageReceived(Struct, frozen=True, kw_only=True):
    """An authentic control message under the binding `epoch` (0: a birth's)."""

    number: int
    epoch: int
    message: bytes


class BindingConfirmed(Struct, frozen=True, kw_only=True):
    """The first packet under a binding's keys arrived (client: its confirm was acknowledged)."""

    number: int
    epoch: int


class PathSampled(Struct, frozen=True, kw_only=True):
    """The figures of a binding's path, sent when one crosses a bound, and while any is outside.

    `late_us` is how long delivery has been unproven beyond the bound of the heartbeat (0: in time).
    """

    number: int
    epoch: int
    srtt_us: int
    base_rtt_us: int
    jitter_us: int
    base_jitter_us: int
    loss_in: float
    loss_out: float
    late_us: int


class PeerSilent(Struct, frozen=True, kw_only=True):
    """Gateway: nothing authentic came for `peer_silence_max` after the first overdue heartbeat."""

    number: int
    epoch: int
    silent_us: int


class AddressMoved(Struct, frozen=True, kw_only=True):
    """Data that authenticates under the binding came from another address.

    The gateway saw it, or told the client, where `source` is empty.
    """

    number: int
    epoch: int
    source: str


class ForgeriesCounted(Struct, frozen=True, kw_only=True):
    """A rate-limited summary of packets that failed authentication or rate, by what they were."""

    what: str
    source_prefix: str
    count: int


class FactsDropped(Struct, frozen=True, kw_only=True):
    """The upward queue overflowed and `count` facts were given up."""

    count: int


class FenceClosed(Struct, frozen=True, kw_only=True):
    """The dead-man deadline passed: the data plane forwards nothing until it is extended."""

    since_us: int


class HandshakeDone(Struct, frozen=True, kw_only=True):
    """Client: HANDSHAKE_RESPONSE verified on `path`; the birth binding carries control messages."""

    path: int
    session_id: bytes


class ResponseOpened(Struct, frozen=True, kw_only=True):
    """Client: a REATTACH_RESPONSE to a pending request opened; the data plane calls it `token`."""

    token: int
    path: int
    attempt: int
    message: bytes


class BindingSilent(Struct, frozen=True, kw_only=True):
    """Client: the silence on the active path reached the bound of the false-death budget.

    `direction` is `in`, `out` or `both`; `misses` heartbeats were missed in `silent_us`, while
    `unanswered` dense probes got no answer; `standby_answered` is the evidence of a living standby.
    """

    epoch: int
    direction: str
    silent_us: int
    misses: int
    unanswered: int
    standby_answered: bool


class BindingWorn(Struct, frozen=True, kw_only=True):
    """Client: the keys of the binding `epoch` have carried 2^27 packets, half of what they may."""

    epoch: int


class ResetHinted(Struct, frozen=True, kw_only=True):
    """Client: the gateway proved that it holds no keys for the index of the binding `epoch`."""

    epoch: int


class SessionGone(Struct, frozen=True, kw_only=True):
    """Client: the gateway proved that the session is over."""


class PathAnswered(Struct, frozen=True, kw_only=True):
    """Client: a candidate path answered a probe; first time after silence, or its figures moved."""

    path: int
    srtt_us: int
    jitter_us: int
    loss: float


class PathFellSilent(Struct, frozen=True, kw_only=True):
    """Client: a candidate path stopped answering its probes."""

    path: int


class PathFailed(Struct, frozen=True, kw_only=True):
    """Client: the socket of a path failed locally with `errno` when sending."""

    path: int
    errno: int


class PathSized(Struct, frozen=True, kw_only=True):
    """Client: packets on a path have at most `after` bytes of UDP payload from now on.

    `hole` says that what the path carried `before` passes no more; otherwise a search ended.
    """

    path: int
    before: int
    after: int
    hole: bool


class TrainsGivenUp(Struct, frozen=True, kw_only=True):
    """Packets of the binding leave one by one from now on: segmentation does not work on its way.

    `refused` says that this host takes no segmented message; otherwise they vanished, again and
    again, while what left one by one between them arrived.
    """

    number: int
    epoch: int
    refused: bool


OfBinding: TypeAlias = (
    PathSampled | BindingSilent | BindingWorn | AddressMoved | ResetHinted | TrainsGivenUp
)
"""What a client hears of the one binding that the fact names, and of no other."""

OfPath: TypeAlias = PathAnswered | PathFellSilent | PathFailed | PathSized
"""What a client hears of one of its paths."""

Fact: TypeAlias = (
    BirthProven
    | ReattachRequested
    | SessionWanted
    | MessageReceived
    | BindingConfirmed
    | PathSampled
    | PeerSilent
    | AddressMoved
    | ForgeriesCounted
    | FactsDropped
    | FenceClosed
    | HandshakeDone
    | ResponseOpened
    | BindingSilent
    | BindingWorn
    | ResetHinted
    | SessionGone
    | PathAnswered
    | PathFellSilent
    | PathFailed
    | PathSized
    | TrainsGivenUp
)
FACTS: Final[tuple[type[Fact], ...]] = get_args(Fact)
