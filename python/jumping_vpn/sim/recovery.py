"""How the world goes on when nothing fails any more.

Whoever is down starts again, what is repeated arrives, what is due happens. Wherever the faults
have led, this must end with the session attached on both sides, or over.
"""

from jumping_vpn.sim.client import Client
from jumping_vpn.sim.condition import Action, Budget, Condition, Down, bits
from jumping_vpn.sim.gateway import Gateway
from jumping_vpn.sim.wire import Gone, Packet, Request, ResetHint, Response
from jumping_vpn.sim.world import World


def attached(world: World, left: Budget) -> Condition:
    """Return the world with a session attached over the first interface, nothing in flight."""
    state = world.greeting(left)
    while (after := fairly(world, state)) is not None:
        state = after
    return state._replace(sent=0)


def fairly(world: World, state: Condition) -> Condition | None:
    """Return what follows without another fault; None: nothing is left to be done."""
    for act in (_go_on, _travel, _wait):
        after = act(world, state)
        if after is not None:
            return after
    return None


def is_settled(world: World, state: Condition) -> bool:
    """Say whether the session is over for the client, or attached and confirmed on both sides."""
    client = world.clients.things[state.client]
    if isinstance(client, Down):
        return client.kept is None
    if client.finished:
        return True
    record = world.ledgers.things[state.ledger].record
    binding = None if record is None else record.session.binding
    if client.in_use is None or binding is None or binding.epoch != client.epoch:
        return False
    running = (world.gateways.things[number] for number in state.gateways)
    return any(not isinstance(each, Down) and _carries(each, client) for each in running)


def _carries(gateway: Gateway, client: Client) -> bool:
    held = gateway.held
    if gateway.stage is not None or held is None:
        return False
    return held.confirmed and held.current == client.in_use


def _go_on(world: World, state: Condition) -> Condition | None:
    client = world.clients.things[state.client]
    if isinstance(client, Down) and client.kept is not None:
        return world.just(state, Action("starts"))
    for where, number in enumerate(state.gateways):
        gateway = world.gateways.things[number]
        if isinstance(gateway, Down):
            return world.just(state, Action("starts", where))
        if gateway.stage is not None:
            return world.just(state, Action("goes on", where))
    return None


def _travel(world: World, state: Condition) -> Condition | None:
    """Let what is repeated arrive, newest first."""
    client = world.clients.things[state.client]
    if isinstance(client, Down):
        return None
    for number in reversed(tuple(bits(state.sent))):
        if not _is_repeated(world.packets.things[number], client):
            continue
        for where in range(len(state.gateways)) if world.is_upward(number) else (-1,):
            after = world.just(state, Action("hears", where, number))
            if after != state:
                return after
    return None


def _wait(world: World, state: Condition) -> Condition | None:
    """Let what is due first happen, unless there is nothing to wait for."""
    if is_settled(world, state):
        return None
    processes = [world.clients.things[state.client]]
    processes += [world.gateways.things[number] for number in state.gateways]
    waits = [
        (each.wake_at, place - 1)
        for place, each in enumerate(processes)
        if not isinstance(each, Down) and each.wake_at is not None
    ]
    if not waits:
        return None
    at, where = min(waits)
    return world.just(state._replace(now=max(at, state.now)), Action("wakes", where))


def _is_repeated(packet: Packet, client: Client) -> bool:
    """Say whether a packet is one that is sent again and again until it is answered."""
    match packet:
        case Request() | Response() | Gone():
            return client.pending is not None and packet.digest in client.pending.interfaces
        case ResetHint():
            return packet.epoch == client.epoch
        case _:
            return (packet.epoch, packet.root) == client.in_use
