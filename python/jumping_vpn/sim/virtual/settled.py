"""Whether a world that was well for a while has come to rest: attached, or explicitly over."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from jumping_vpn.core.record import Record
from jumping_vpn.core.session.model import State
from jumping_vpn.sim.virtual.client import ClientHost
from jumping_vpn.sim.virtual.network import Way

if TYPE_CHECKING:
    from jumping_vpn.sim.virtual.world import World

ARRIVED: Final = 4
"""Of the packets sent last, one of so many newest must have arrived each way: a burst."""


def unsettled(world: "World") -> Iterator[str]:
    """Yield what is not as it must be in the end."""
    if not world.gateway.runs:
        yield "the gateway does not serve"
        return
    for client in world.clients:
        yield from _unsettled_client(world, client)


def _unsettled_client(world: "World", client: ClientHost) -> Iterator[str]:
    who = f"client {client.number}"
    view = None if client.core is None else client.core.view
    if view is None:
        yield f"{who} has no session although everything was well"
        return
    book = world.ledgers.books.get(view.session.session_id)
    record = None if book is None else book.record
    if record is None or view.binding is None:
        yield f"{who} is not attached: {view.standing}, the store says {_text(record)}"
        return
    binding = record.session.binding
    if binding is None or binding.epoch != view.binding.epoch:
        yield f"{who} stands at epoch {view.binding.epoch}, the store says {_text(record)}"
    for way in Way:
        sent = world.sent_so_far(client.number, way)
        if world.wire.newest.get((client.number, way), 0) <= sent - ARRIVED:
            yield f"nothing of {who} arrives {way}, although both sides stand attached"


def _text(record: Record | None) -> str:
    if record is None:
        return "nothing"
    session = record.session
    over = " (over)" if session.state is State.TERMINATED else ""
    return f"{session.state}{over} version {session.version} epoch {session.epoch}"
