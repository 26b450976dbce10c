"""What a shell must do next, in order: the only thing that a role returns.

A shell performs the fields of `Ready` from top to bottom; if one fails, the later ones do not
happen. Deriving comes before saving because a record carries a root that only the data plane can
make, and it is harmless because it installs nothing. Saving comes before binding and binding before
sending: of the orders that were explored this is the only one in which two gateways never stand
equal.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from jumping_vpn.core.client_state import ClientState
    from jumping_vpn.core.events import Event
    from jumping_vpn.core.ids import (
        Attempt,
        BindingEpoch,
        Millis,
        NodeId,
        OwnershipEpoch,
        SessionId,
        SessionNumber,
        StateVersion,
    )
    from jumping_vpn.core.policy.limits import Policy
    from jumping_vpn.core.record import Record
    from jumping_vpn.core.session.inputs import Input
    from jumping_vpn.core.wire.messages import Envelope


# Derive: ask the data plane for what the save must carry. Installs nothing.


class SealBirth(Struct, frozen=True, kw_only=True):
    """Gateway: `seal_birth(birth)`; answer `Derived(sealed=...)`."""

    birth: int
    plan: Any = None


class DeriveJump(Struct, frozen=True, kw_only=True):
    """Gateway: `derive(token, epoch, owner, ids)`: all of `Derived`."""

    token: int
    epoch: "BindingEpoch"
    owner: "NodeId"
    ids: int
    plan: Any = None


class SealRoot(Struct, frozen=True, kw_only=True):
    """Client: `seal_root()`; answer `Derived(sealed=...)`."""

    plan: Any = None


class Adopt(Struct, frozen=True, kw_only=True):
    """Client: `adopt(token, epoch, owner, window_lost)`; answer `Derived(sealed=...)`."""

    token: int
    epoch: "BindingEpoch"
    owner: "NodeId"
    window_lost: bool
    plan: Any = None


Derive: TypeAlias = SealBirth | DeriveJump | SealRoot | Adopt


class Derived(Struct, frozen=True, kw_only=True):
    """The data plane's answer to a `Derive`; hand it to the role's `derived` with the order itself.

    `given_up` and `in_doubt` count the packets of this side's own direction since the last jump.
    """

    sealed: bytes
    given_up: int = 0
    in_doubt: int = 0
    window_lost: bool = False
    counter_lost: bool = False
    lookup_ids: tuple[bytes, ...] = ()


# Save: make it durable before anybody can notice.


class Save(Struct, frozen=True, kw_only=True):
    """Write the record and the events of its moves in one transaction, if the expectations hold.

    With `create` the record is new, and the store gives it its number (`record.number` is 0).
    `applied` are the inputs behind the moves and `plan` the jump, if it is one: what
    `GatewayCore.unsaved` needs to know.
    """

    record: "Record"
    expected_version: "StateVersion"
    expected_ownership_epoch: "OwnershipEpoch"
    events: tuple["Event", ...]
    create: bool = False
    applied: tuple["Input", ...] = ()
    plan: Any = None


class Touch(Struct, frozen=True, kw_only=True):
    """Write the record's unversioned fields (floors, confirmation); no move, no event.

    `lazy`: take it into the cache of records at once, write it when convenient, the newest only.
    Otherwise it is durable before what follows.
    """

    record: "Record"
    lazy: bool


class Keep(Struct, frozen=True, kw_only=True):
    """Client: write the state file atomically and durably (or erase it: `state` is None).

    `lazy`: losing it costs a round trip, never safety; write it when convenient, the newest only.
    """

    state: "ClientState | None"
    lazy: bool = False


class SaveFailure(StrEnum):
    """Why a save did not happen; hand it to `GatewayCore.unsaved`."""

    CONCURRENT_UPDATE = "CONCURRENT_UPDATE"
    """The version moved. Read the record and handle the fact again, `RETRIES_MAX` times."""
    OWNERSHIP_CONFLICT = "OWNERSHIP_CONFLICT"
    """Another node holds the session now."""
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    """The store cannot make it durable: full, unreachable, or the outcome stayed unknown."""


RETRIES_MAX: Final = 3


# Bind: change what the data plane carries.


class Install(Struct, frozen=True, kw_only=True):
    """Gateway: `install(...)` a session that came from the store, with the limits of its policy."""

    number: "SessionNumber"
    session_id: "SessionId"
    confirmed: tuple[int, bytes]
    unconfirmed: tuple[int, bytes] | None
    addresses: tuple[str, ...]
    policy: "Policy"


class AdoptBirth(Struct, frozen=True, kw_only=True):
    """Gateway: `adopt_birth(birth, number, ...)`, with the number that the create returned."""

    birth: int
    addresses: tuple[str, ...]
    policy: "Policy"


class BindJump(Struct, frozen=True, kw_only=True):
    """Gateway: `bind(token, keep_previous)`."""

    token: int
    keep_previous: bool


class DropBinding(Struct, frozen=True, kw_only=True):
    """`drop_binding(number, epoch)`, after `last_words` (if any) went out under that binding."""

    number: "SessionNumber"
    epoch: "BindingEpoch"
    last_words: "Envelope | None" = None


class Release(Struct, frozen=True, kw_only=True):
    """Gateway: `release(number)` after `last_words`; the addresses go back to the pool."""

    number: "SessionNumber"
    session_id: "SessionId"
    last_words: "Envelope | None" = None


class SetLimits(Struct, frozen=True, kw_only=True):
    """`set_limits(number, limits of policy)`."""

    number: "SessionNumber"
    policy: "Policy"


class Restore(Struct, frozen=True, kw_only=True):
    """Client: `restore(...)` from the state file."""

    session_id: "SessionId"
    epoch: "BindingEpoch"
    owner: "NodeId"
    sealed: bytes
    policy: "Policy"


class OpenPath(Struct, frozen=True, kw_only=True):
    """Client: resolve the endpoint and `open_path(path, ...)`; failing is a `CandidateGone`."""

    path: int
    interface: str
    endpoint: str


class ClosePath(Struct, frozen=True, kw_only=True):
    """Client: `close_path(path)`."""

    path: int


class StartHandshake(Struct, frozen=True, kw_only=True):
    """Client: `start_handshake(path)`; the data plane repeats it until stopped or answered."""

    path: int


class StopHandshake(Struct, frozen=True, kw_only=True):
    """Client: `stop_handshake()`."""


class Activate(Struct, frozen=True, kw_only=True):
    """Client: `activate(token)`; hand its figures to `ClientCore.activated`."""

    token: int


class OpenTunnel(Struct, frozen=True, kw_only=True):
    """Client: the TUN with these addresses, routes and MTU; also when they changed. Idempotent."""

    addresses: tuple[str, ...]
    routes: tuple[str, ...]
    dns: tuple[str, ...]
    mtu: int


class ProbePath(Struct, frozen=True, kw_only=True):
    """Client: `probe(path, lookup_id, interval_us)`; 0 stops."""

    path: int
    lookup_id: bytes
    interval_us: int


class Withdraw(Struct, frozen=True, kw_only=True):
    """Client: `withdraw()` the pending request."""


class Erase(Struct, frozen=True, kw_only=True):
    """Client: `erase()` every secret; the session is over."""


class Finish(Struct, frozen=True, kw_only=True):
    """Client: the run is over; the outcome decides the exit code and the closing sentence."""

    outcome: "Outcome"
    detail: str = ""


class Outcome(StrEnum):
    """How a client's run ended."""

    UNREACHABLE_OR_UNKNOWN = "UNREACHABLE_OR_UNKNOWN"
    """Nothing answered: the gateway is unreachable, or a key is unknown or wrong."""
    REFUSED = "REFUSED"
    """The gateway refused the handshake and said why."""
    TERMINATED = "TERMINATED"
    """The session ended."""
    UNANSWERED = "UNANSWERED"
    """Nobody answered the session of the state file until its end: no way, or an old copy."""


Bind: TypeAlias = (
    Install
    | AdoptBirth
    | BindJump
    | DropBinding
    | Release
    | SetLimits
    | Restore
    | OpenPath
    | ClosePath
    | StartHandshake
    | StopHandshake
    | Activate
    | OpenTunnel
    | ProbePath
    | Withdraw
    | Erase
    | Finish
)


# Send: tell the other side. An `ids` above zero asks for that many fresh lookup ids to be put in.


class Respond(Struct, frozen=True, kw_only=True):
    """Gateway: `respond(token, message)`."""

    token: int
    message: "Envelope"


class RepeatAnswer(Struct, frozen=True, kw_only=True):
    """Gateway: `repeat_answer(token)`; if it is not in memory, `respond(token, otherwise)`."""

    token: int
    otherwise: "Envelope"


class Forget(Struct, frozen=True, kw_only=True):
    """Gateway: `forget(token)`: silence."""

    token: int


class Gone(Struct, frozen=True, kw_only=True):
    """Gateway: `session_gone(token)`."""

    token: int


class SessionFound(Struct, frozen=True, kw_only=True):
    """Gateway: `session_found(token)`, after `Install`."""

    token: int


class Grant(Struct, frozen=True, kw_only=True):
    """Gateway: `grant(number, message)` with `ids` lookup ids; number 0: the one just created."""

    number: "SessionNumber"
    message: "Envelope"
    ids: int


class RejectBirth(Struct, frozen=True, kw_only=True):
    """Gateway: `reject_birth(birth, message)`."""

    birth: int
    message: "Envelope"


class Message(Struct, frozen=True, kw_only=True):
    """`send_message(number, message)` under the current binding; the client's number is 0."""

    number: "SessionNumber"
    message: "Envelope"
    ids: int = 0


class Request(Struct, frozen=True, kw_only=True):
    """Client: `request(attempt, lost_epoch, ...)`; a candidate is (path, lookup id, message)."""

    attempt: "Attempt"
    lost_epoch: "BindingEpoch"
    candidates: tuple[tuple[int, bytes, "Envelope"], ...]
    early: bool


Send: TypeAlias = (
    Respond | RepeatAnswer | Forget | Gone | SessionFound | Grant | RejectBirth | Message | Request
)


class Ready(Struct, frozen=True, kw_only=True):
    """Work in field order; if one step fails, the later ones must not happen.

    A `derive` stands alone: perform it, hand the answer to the role's `derived`, perform what that
    returns. `observe` are observations, not moves: append them to the outbox without waiting.
    `wake_at` is when the role's `wake` is due for this session (None: nothing is due; it replaces
    the earlier one). `read_again` stands alone too: read the session's record past any cache,
    linearizably, and handle the same fact again.
    """

    read_again: bool = False
    derive: Derive | None = None
    save: Save | Touch | Keep | None = None
    bind: tuple[Bind, ...] = ()
    send: tuple[Send, ...] = ()
    observe: tuple["Event", ...] = ()
    wake_at: "Millis | None" = None


NOTHING: Final = Ready()


def encoded(message: "Envelope", ids: Sequence[bytes] = ()) -> bytes:
    """Return the bytes of a message, with fresh lookup ids put in where it carries any."""
    from jumping_vpn.core.wire.codec import encode, with_lookup_ids  # noqa: PLC0415

    return encode(with_lookup_ids(message, ids) if ids else message)
