"""How each kind of fault is done to the world, and how it ends."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec.structs import replace

from jumping_vpn.core.commands import ChangePolicy, Command, GoDown, OperatorJump, Stop, Terminate
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.sim.virtual.calendar import US_PER_MS
from jumping_vpn.sim.virtual.client import ClientHost
from jumping_vpn.sim.virtual.gateway import ENDPOINT
from jumping_vpn.sim.virtual.network import Line, Way
from jumping_vpn.sim.virtual.scenario import Doom, Fault, Kind

if TYPE_CHECKING:
    from jumping_vpn.sim.virtual.world import World

End: TypeAlias = Callable[[], None]
BOTH_WAYS: Final = {Way.UP, Way.DOWN}


def nothing() -> None:
    """End a fault that has no end."""


def do(world: "World", fault: Fault) -> End:
    """Let a fault begin, and return what ends it."""
    return DEEDS[fault.kind](world, fault)


def _line(world: "World", fault: Fault) -> Line:
    return world.network.lines[fault.client, fault.interface]


def _client(world: "World", fault: Fault) -> ClientHost:
    return world.clients[fault.client]


def _overlay(world: "World", thing: object, name: str, value: object) -> End:
    """Let one figure be another for a while; of several that overlap the newest counts."""
    layers = world.layers.setdefault((id(thing), name), [getattr(thing, name)])
    layer = (value,)
    layers.append(layer)
    setattr(thing, name, value)

    def end() -> None:
        layers.remove(layer)
        newest = layers[-1]
        setattr(thing, name, newest[0] if isinstance(newest, tuple) else newest)

    return end


def _set_weather(name: str, value: Callable[[Fault], object]) -> Callable[["World", Fault], End]:
    """Return the deed that changes one figure of a line's weather."""
    return lambda world, fault: _overlay(world, _line(world, fault).weather, name, value(fault))


def _block(ways: set[Way]) -> Callable[["World", Fault], End]:
    """Return the deed that lets nothing through."""
    return lambda world, fault: _blocked([_line(world, fault)], ways)


def _blocked(lines: Sequence[Line], ways: set[Way]) -> End:
    for line in lines:
        line.weather.blocked.update(ways)

    def end() -> None:
        for line in lines:
            line.weather.blocked.subtract(ways)

    return end


def _forget_nat(world: "World", fault: Fault) -> End:
    world.network.rebind(_line(world, fault))
    return nothing


def _link_down(world: "World", fault: Fault) -> End:
    client = _client(world, fault)
    client.link(fault.interface, up=False)
    return lambda: client.link(fault.interface, up=True)


def _blackout(world: "World", fault: Fault) -> End:
    return _blocked(
        [line for line in world.network.lines.values() if line.owner == fault.client], BOTH_WAYS
    )


def _crash_client(world: "World", fault: Fault) -> End:
    client = _client(world, fault)
    client.kill()
    return client.start


def _doom_client(world: "World", fault: Fault) -> End:
    """Let a client die at its next write, if there is one before the end."""
    client = _client(world, fault)
    client.disk.doom = Doom(fault.amount)

    def end() -> None:
        client.disk.doom = Doom.NONE
        client.start()

    return end


def _stop_client(world: "World", fault: Fault) -> End:
    client = _client(world, fault)
    client.order(Stop())
    return nothing


def _pause_client(world: "World", fault: Fault) -> End:
    process = _client(world, fault).process
    if process is None:
        return nothing
    process.pause()
    return process.resume


def _suspend(world: "World", fault: Fault) -> End:
    """Suspend a machine: its sockets hear nothing, its event loop's clock stands still."""
    client, began = _client(world, fault), world.calendar.now
    resume, light = _pause_client(world, fault), _blackout(world, fault)

    def end() -> None:
        client.clock.sleep_through(world.calendar.now - began)
        light()
        resume()

    return end


def _fill_state_disk(world: "World", fault: Fault) -> End:
    return _overlay(world, _client(world, fault).disk, "full", value=True)


def _slow_state_disk(world: "World", fault: Fault) -> End:
    latency_us = fault.amount * US_PER_MS
    return _overlay(world, _client(world, fault).disk, "latency_us", latency_us)


def _step_client_clock(world: "World", fault: Fault) -> End:
    _client(world, fault).clock.step_wall(fault.amount)
    return nothing


def _jump(world: "World", fault: Fault) -> End:
    _client(world, fault).order(OperatorJump(transport=None))
    return nothing


def _go_down(world: "World", fault: Fault) -> End:
    _client(world, fault).order(GoDown())
    return nothing


def _crash_gateway(world: "World", _: Fault) -> End:
    world.gateway.kill()
    return world.gateway.start


def _doom_gateway(world: "World", fault: Fault) -> End:
    """Let a gateway die at its next write, if there is one before the end."""
    world.store_weather.doom = Doom(fault.amount)

    def end() -> None:
        world.store_weather.doom = Doom.NONE
        world.gateway.start()

    return end


def _pause_gateway(world: "World", _: Fault) -> End:
    process = world.gateway.process
    if process is None:
        return nothing
    process.pause()
    return process.resume


def _step_gateway_clock(world: "World", fault: Fault) -> End:
    world.gateway.clock.step_wall(fault.amount)
    return nothing


def _terminate(world: "World", fault: Fault) -> End:
    _command(world, fault, Terminate(reason=Reason.OPERATOR_REQUEST))
    return nothing


def _change_policy(world: "World", fault: Fault) -> End:
    policy = replace(world.scenario.policy, max_switches_per_minute=20, loss_threshold=0.2)
    _command(world, fault, ChangePolicy(policy=policy, policy_version=2))
    return nothing


def _command(world: "World", fault: Fault, command: Command) -> None:
    """Give an operator's order about a client's session, if the gateway holds one."""
    host = world.gateway
    if host.gateway is None or host.process is None or not host.runs:
        return
    driver, name = host.gateway.driver, f"client{fault.client}"
    for record in list(driver.records):
        if record.client_name == name:
            host.process.loop.create_task(driver.order(record.number, command))
    host.process.stir()


def _set_store(name: str, value: Callable[[Fault], object]) -> Callable[["World", Fault], End]:
    """Return the deed that changes one figure of the store's weather."""
    return lambda world, fault: _overlay(world, world.store_weather, name, value(fault))


def _repeat_as_stranger(world: "World", fault: Fault) -> End:
    """Let a stranger send again what it has seen, at once."""
    seen = world.network.seen
    for _ in range(fault.amount):
        if seen:
            world.network.repeat_as_stranger(ENDPOINT, world.chance.choice(seen))
    return nothing


def _milliseconds(fault: Fault) -> int:
    return fault.amount * US_PER_MS


def _share(fault: Fault) -> float:
    return fault.amount / 100


DEEDS: Final[dict[Kind, Callable[["World", Fault], End]]] = {
    Kind.LOSS: _set_weather("loss", _share),
    Kind.SLOW: _set_weather("delay_us", _milliseconds),
    Kind.JITTER: _set_weather("jitter_us", _milliseconds),
    Kind.DUPLICATES: _set_weather("duplicated", _share),
    Kind.HOLE: _block(BOTH_WAYS),
    Kind.HOLE_UP: _block({Way.UP}),
    Kind.HOLE_DOWN: _block({Way.DOWN}),
    Kind.NARROW: _set_weather("size_max", lambda fault: fault.amount),
    Kind.NAT_FORGETS: _forget_nat,
    Kind.LINK_DOWN: _link_down,
    Kind.UNREACHABLE: _set_weather("unreachable", lambda _: True),
    Kind.BLACKOUT: _blackout,
    Kind.CLIENT_CRASH: _crash_client,
    Kind.CLIENT_CRASH_AT_WRITE: _doom_client,
    Kind.CLIENT_STOP: _stop_client,
    Kind.CLIENT_PAUSE: _pause_client,
    Kind.SUSPEND: _suspend,
    Kind.STATE_DISK_FULL: _fill_state_disk,
    Kind.STATE_DISK_SLOW: _slow_state_disk,
    Kind.CLIENT_CLOCK_STEP: _step_client_clock,
    Kind.JUMP: _jump,
    Kind.GO_DOWN: _go_down,
    Kind.GATEWAY_CRASH: _crash_gateway,
    Kind.GATEWAY_CRASH_AT_WRITE: _doom_gateway,
    Kind.GATEWAY_PAUSE: _pause_gateway,
    Kind.GATEWAY_CLOCK_STEP: _step_gateway_clock,
    Kind.TERMINATE: _terminate,
    Kind.CHANGE_POLICY: _change_policy,
    Kind.STORE_UNREACHABLE: _set_store("unreachable", lambda _: True),
    Kind.STORE_FULL: _set_store("full", lambda _: True),
    Kind.STORE_SLOW: _set_store("latency_us", _milliseconds),
    Kind.ACKS_LOST: _set_store("acknowledgements_lost", _share),
    Kind.REPLAY: _repeat_as_stranger,
}
