"""What must hold in every condition of the world, checked by looking at what there is.

The checks know the store, the two data planes and the state file. They ask the roles nothing.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from jumping_vpn.core.record import Record
from jumping_vpn.core.session.model import State
from jumping_vpn.sim.client import Client
from jumping_vpn.sim.condition import Condition, Down
from jumping_vpn.sim.gateway import Gateway
from jumping_vpn.sim.store import Ledger
from jumping_vpn.sim.world import World


class Scene(Struct, frozen=True):
    """One condition of the world with its processes in place of their numbers."""

    client: Client | Down
    gateways: tuple[Gateway, ...]
    ledger: Ledger

    @property
    def live(self) -> Record | None:
        """The record of a session that is not over."""
        record = self.ledger.record
        over = record is None or record.session.state is State.TERMINATED
        return None if over else record

    @property
    def roots(self) -> set[bytes]:
        """The roots under which the store knows the session."""
        record = self.ledger.record
        roots = () if record is None else (record.confirmed, record.unconfirmed)
        return {root.sealed for root in roots if root is not None}


class Check(Struct, frozen=True):
    """One thing that must hold: the invariant of the contract, what it says, how it is seen."""

    invariant: int
    text: str
    holds: Callable[[Scene], bool]


def scene_of(world: World, condition: Condition) -> Scene:
    """Return the processes and the store of a condition."""
    running = (world.gateways.things[number] for number in condition.gateways)
    return Scene(
        world.clients.things[condition.client],
        tuple(each for each in running if not isinstance(each, Down)),
        world.ledgers.things[condition.ledger],
    )


def broken_in(scene: Scene) -> tuple[str, ...]:
    """Return what does not hold."""
    found = (f"invariant {each.invariant}: {each.text}" for each in CHECKS if not each.holds(scene))
    return (*found, *scene.ledger.broken)


def _one_gateway_delivers(scene: Scene) -> bool:
    client = scene.client
    if isinstance(client, Down) or client.in_use is None:
        return True
    held = (each.held for each in scene.gateways)
    return sum(each is not None and each.current == client.in_use for each in held) <= 1


def _one_gateway_stands(scene: Scene) -> bool:
    current = [each.held.current for each in scene.gateways if each.held and each.held.current]
    return len({epoch for epoch, _ in current}) == len(current)


def _nobody_is_locked_out(scene: Scene) -> bool:
    client = scene.client
    if scene.live is None:
        return True
    if isinstance(client, Down):
        return client.kept is None or client.kept.root in scene.roots
    return bool(client.finished) or client.root in scene.roots


def _roots_are_durable_before_use(scene: Scene) -> bool:
    client = scene.client
    if isinstance(client, Down) or client.in_use is None:
        return True
    return client.kept is not None and client.kept.root == client.root


def _bindings_are_saved_before_they_stand(scene: Scene) -> bool:
    record = scene.live
    current = [each.held.current for each in scene.gateways if each.held and each.held.current]
    if record is None:
        return scene.ledger.record is not None or not current
    return all(
        epoch < record.session.epoch or (epoch == record.session.epoch and root in scene.roots)
        for epoch, root in current
    )


def _versions_come_from_the_authority(scene: Scene) -> bool:
    client, record = scene.client, scene.ledger.record
    if isinstance(client, Down) or client.core.view is None or record is None:
        return True
    return client.core.view.session.version <= record.session.version


def _secrets_end_with_the_session(scene: Scene) -> bool:
    client = scene.client
    if isinstance(client, Down) or not client.finished:
        return True
    return client.in_use is None and not client.root and client.kept is None


CHECKS: Final = (
    Check(1, "at most one gateway can deliver to the client", _one_gateway_delivers),
    Check(1, "no two gateways stand at the same binding", _one_gateway_stands),
    Check(2, "a binding stands only once its move is saved", _bindings_are_saved_before_they_stand),
    Check(3, "the client knows no version that was not saved", _versions_come_from_the_authority),
    Check(4, "the client can always prove itself", _nobody_is_locked_out),
    Check(7, "a root is durable before anything is sent under it", _roots_are_durable_before_use),
    Check(9, "a client whose session is over keeps no secret", _secrets_end_with_the_session),
)
