"""Both roles in a storm: whatever is lost, whoever restarts, the log is legal and calm heals it."""

import random

import pytest

from jumping_vpn.core import facts as f
from jumping_vpn.core.commands import OperatorJump
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.model import State
from support.roles import NUMBER, World, faults

STEPS = 40
STEP_MS = 300
POLICY = Policy(max_switches_per_minute=60, switch_cooldown=0)


@pytest.mark.parametrize("seed", range(60))
def test_a_storm_leaves_a_legal_log_and_ends_with_the_session_attached(seed):
    world = storm(seed)

    calm(world)

    assert broken(world) == []
    assert world.store.session.state is State.ATTACHED
    assert world.store.unconfirmed is None
    assert world.root == world.store.confirmed.sealed
    assert world.client.view.session.epoch == world.store.session.epoch


def test_a_storm_is_the_same_every_time():
    first, second = storm(7), storm(7)

    assert first.log == second.log
    assert first.events == second.events
    assert first.client_events == second.client_events


def storm(seed: int) -> World:
    dice = random.Random(seed)
    world = World(policy=POLICY)
    world.attach()
    world.drop = lambda _direction, _kind: dice.random() < 0.3
    for step in range(1, STEPS):
        strike(world, dice)
        world.run(200 + step * STEP_MS)
    return world


def strike(world: World, dice: random.Random) -> None:
    match dice.randrange(9):
        case 0:
            kill_gateway(world)
        case 1:
            world.start_client(world.state)
            world.appear("wlan0", "wwan0")
        case 2 | 3:
            world.silence(dice.choice(["wlan0", "wwan0"]))
        case 4:
            world.tell(OperatorJump(transport=None))
        case 5:
            epoch = world.store.session.epoch
            world.hear(f.PeerSilent(number=NUMBER, epoch=epoch, silent_us=10_000_000))
        case _:
            heal(world)


def kill_gateway(world: World) -> None:
    world.start_gateway()
    if world.client_epoch:
        world.tell(f.ResetHinted(epoch=world.client_epoch))


def heal(world: World) -> None:
    for link in world.links.values():
        link.up = link.down = True


def calm(world: World) -> None:
    """End the storm; what a data plane would find out by itself is told."""
    world.drop = lambda _direction, _kind: False
    heal(world)
    for _ in range(3):
        world.run(world.now + 20_000)
        held = world.held
        if held is None or world.client_epoch not in {0, held.epoch}:
            kill_gateway(world)
        elif world.client_epoch and not held.epoch:
            world.tell(f.ResetHinted(epoch=world.client_epoch))
    world.run(world.now + 20_000)


def broken(world: World) -> list[object]:
    """Return what replaying both logs through the table and the invariants finds wrong."""
    return [*faults(world.events), *faults(world.client_events)]
