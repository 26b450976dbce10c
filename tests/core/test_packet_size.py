"""What the size of packets means for the choice of a path."""

from jumping_vpn.core import facts as f
from jumping_vpn.core.events import EventType
from support.roles import World

ACTIVE = 1


def test_a_binding_too_narrow_for_the_base_is_left_for_a_wider_path():
    world = World()
    world.attach()
    world.run(5_000)

    world.tell(f.PathSized(path=ACTIVE, before=1452, after=508, hole=True))
    world.run(6_000)

    assert world.moves()[1:] == [
        "v2 ATTACHED -> RECOVERING - PATH_MTU_FAILED",
        "v3 RECOVERING -> ATTACHED wwan0 REATTACH_SUCCESS",
    ]


def test_a_narrower_path_that_carries_the_base_keeps_its_binding_and_is_told_of():
    world = World()
    world.attach()
    world.run(5_000)

    world.tell(f.PathSized(path=ACTIVE, before=1452, after=1232, hole=True))
    world.run(6_000)

    told = [
        each.reason_code
        for each in world.client_events
        if each.event_type is EventType.PACKET_SIZE_CHANGED
    ]
    assert world.moves()[1:] == []
    assert told == ["PATH_MTU_FAILED"]
