"""The session and its parts: what the machine moves, and the shapes the table is keyed by."""

from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from jumping_vpn.core.ids import (
    BindingEpoch,
    Millis,
    NodeId,
    OwnershipEpoch,
    SessionId,
    StateVersion,
)


class State(StrEnum):
    """What a session is in, each with its meaning."""

    def __new__(cls, value: str, meaning: str) -> "State":
        """Make the member `value` that says what it means."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    meaning: str

    BIRTH = "BIRTH", "Handshake under way; not yet usable."
    ATTACHED = "ATTACHED", "Healthy, with exactly one active binding."
    VOLATILE = "VOLATILE", "Delivery continues on the one binding, but outside a quality bound."
    RECOVERING = "RECOVERING", "No binding; a reattach is under way inside the recovery window."
    DEGRADED = "DEGRADED", "Instability lasted or a bound was hit; restricted until stable."
    TERMINATED = "TERMINATED", "Absorbing; secrets erased; nothing reattaches."


class Shape(StrEnum):
    """A state together with whether there is a binding: the rows of the table are keyed by it."""

    BIRTH = "BIRTH"
    ATTACHED = "ATTACHED"
    VOLATILE = "VOLATILE"
    RECOVERING = "RECOVERING"
    DEGRADED_BOUND = "DEGRADED (bound)"
    DEGRADED_UNBOUND = "DEGRADED (unbound)"
    TERMINATED = "TERMINATED"


class Transport(Struct, frozen=True, kw_only=True):
    """One way to reach a gateway: an adapter on one local interface to one endpoint.

    `id` is never used again within a session. `endpoint` is "host:port", `hops` counts relays.
    """

    id: int
    adapter: str
    interface: str
    endpoint: str
    hops: int = 0

    def __str__(self) -> str:
        """Return the text for people and configuration; it shows the endpoint."""
        return f"{self.adapter}/{self.interface}/{self.endpoint}#{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Transport":
        """Return the transport of a text that `str()` made; ValueError for any other."""
        path, separator, number = text.rpartition("#")
        parts = path.split("/", 2)
        if not separator or len(parts) != 3 or not number.isdecimal():
            raise ValueError(f"no transport: {text!r}")
        adapter, interface, endpoint = parts
        return cls(id=int(number), adapter=adapter, interface=interface, endpoint=endpoint)


class Binding(Struct, frozen=True, kw_only=True):
    """The attachment of a session to one transport, with traffic keys of its own.

    `confirmed` becomes true with the first packet under its keys; that is a fact, not a move.
    """

    epoch: BindingEpoch
    transport: Transport
    confirmed: bool
    since: Millis


class Session(Struct, frozen=True, kw_only=True):
    """The identity and its present condition. Only the machine makes the next one.

    `epoch` is the highest binding epoch ever used, also while there is no binding. `since` is when
    the present state was entered; a move that stays in its state leaves it alone.
    """

    session_id: SessionId
    state: State
    version: StateVersion
    epoch: BindingEpoch
    binding: Binding | None
    owner: NodeId
    ownership_epoch: OwnershipEpoch
    since: Millis

    @property
    def shape(self) -> Shape:
        """Return the key of this session's rows in the table."""
        if self.state is State.DEGRADED:
            return Shape.DEGRADED_UNBOUND if self.binding is None else Shape.DEGRADED_BOUND
        return SHAPE_OF[self.state]


SHAPE_OF: Final = {state: Shape(state.value) for state in State if state is not State.DEGRADED}
"""The shape of each state that has only one."""


def begin(
    session_id: SessionId, *, owner: NodeId, ownership_epoch: OwnershipEpoch, now: Millis
) -> Session:
    """Return a session in BIRTH, which lives in memory only until its handshake is verified."""
    return Session(
        session_id=session_id,
        state=State.BIRTH,
        version=StateVersion(0),
        epoch=BindingEpoch(0),
        binding=None,
        owner=owner,
        ownership_epoch=ownership_epoch,
        since=now,
    )


def confirmed(session: Session) -> Session:
    """Return the session once its binding carried a packet: a fact, saved lazily, not a move."""
    if session.binding is None or session.binding.confirmed:
        return session
    return replace(session, binding=replace(session.binding, confirmed=True))
