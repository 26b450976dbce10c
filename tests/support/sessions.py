"""Sessions and inputs for tests: one of every shape, any input that fits or does not."""

from hypothesis import strategies as st
from msgspec.structs import replace

from jumping_vpn.core.ids import (
    BindingEpoch,
    Millis,
    NodeId,
    OwnershipEpoch,
    SessionId,
    StateVersion,
)
from jumping_vpn.core.session.inputs import INPUTS, Input
from jumping_vpn.core.session.model import Binding, Session, Shape, State, Transport, begin
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.core.session.table import CELLS

WIFI = Transport(id=1, adapter="udp", interface="wifi", endpoint="203.0.113.1:4789")
LTE = Transport(id=2, adapter="udp", interface="lte", endpoint="203.0.113.1:4789")


def born() -> Session:
    """Return a session in BIRTH."""
    return begin(
        SessionId(bytes(range(16))),
        owner=NodeId(1),
        ownership_epoch=OwnershipEpoch(1),
        now=Millis(0),
    )


def binding(*, epoch: int = 1, is_confirmed: bool = True, since: int = 0) -> Binding:
    """Return a binding on the wifi."""
    return Binding(
        epoch=BindingEpoch(epoch), transport=WIFI, confirmed=is_confirmed, since=Millis(since)
    )


def attached(*, epoch: int = 1, is_confirmed: bool = True) -> Session:
    """Return a healthy session."""
    return replace(
        born(),
        state=State.ATTACHED,
        version=StateVersion(1),
        epoch=BindingEpoch(epoch),
        binding=binding(epoch=epoch, is_confirmed=is_confirmed),
    )


def session_of(shape: Shape) -> Session:
    """Return a session of a shape; its newest binding epoch is 1 outside BIRTH."""
    if shape is Shape.BIRTH:
        return born()
    state = State(shape.value.split(" ")[0])
    bound = shape in {Shape.ATTACHED, Shape.VOLATILE, Shape.DEGRADED_BOUND}
    session = attached()
    return replace(session, state=state, binding=session.binding if bound else None)


def any_input_of(
    on: type[Input], session: Session, reason: Reason | None = None, *, sure: bool = True
) -> Input:
    """Return an input of a class that fits the session's epochs; `sure` confirms its binding."""
    row = CELLS.get((session.shape, on)) or next(
        each for cell, each in CELLS.items() if cell[1] is on
    )
    values = {
        "binding": binding(epoch=session.epoch + 1, is_confirmed=sure),
        "epoch": session.epoch,
        "owner": NodeId(session.owner + 1),
        "ownership_epoch": OwnershipEpoch(session.ownership_epoch + 1),
        "reason": reason or row.reasons[0],
    }
    return on(**{name: values[name] for name in on.__struct_fields__})


def inputs_for(session: Session) -> st.SearchStrategy[Input]:
    """Return inputs that fit `session`, and observations of the binding before its own."""
    stale = replace(session, epoch=BindingEpoch(max(0, session.epoch - 1)))
    fitting = st.sampled_from(INPUTS).map(lambda on: any_input_of(on, session))
    late = st.sampled_from([on for on in INPUTS if "epoch" in on.__struct_fields__]).map(
        lambda on: any_input_of(on, stale)
    )
    return fitting | late
