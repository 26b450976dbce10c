"""That packets of a binding leave one by one is told by whoever found it out."""

from collections.abc import Sequence

import pytest

from jumping_vpn.core import facts as f
from jumping_vpn.core.events import Event, EventType
from support.roles import World

REASONS = [(False, "TRAINS_VANISHED"), (True, "TRAINS_REFUSED")]


@pytest.mark.parametrize(("refused", "reason"), REASONS)
def test_the_client_writes_what_it_found_on_its_binding(refused: bool, reason: str):
    world = World()
    world.attach()
    world.run(5_000)

    world.tell(f.TrainsGivenUp(number=0, epoch=1, refused=refused))

    assert told(world.client_events) == [reason]
    assert world.moves()[1:] == []


@pytest.mark.parametrize(("refused", "reason"), REASONS)
def test_the_gateway_writes_what_it_found_on_a_binding_of_its_own(refused: bool, reason: str):
    world = World()
    world.attach()
    world.run(5_000)
    assert world.store is not None

    world.hear(f.TrainsGivenUp(number=world.store.number, epoch=1, refused=refused))

    assert told(world.events) == [reason]
    assert world.moves()[1:] == []


def test_what_was_found_on_a_binding_that_was_left_is_not_told():
    world = World()
    world.attach()
    world.run(5_000)
    assert world.store is not None

    world.tell(f.TrainsGivenUp(number=0, epoch=9, refused=False))
    world.hear(f.TrainsGivenUp(number=world.store.number, epoch=9, refused=False))

    assert told(world.client_events) == []
    assert told(world.events) == []


def told(events: Sequence[Event]) -> list[str]:
    """Return the reasons for which segmentation was given up."""
    return [
        each.reason_code for each in events if each.event_type is EventType.SEGMENTATION_GIVEN_UP
    ]
