"""When a binding's keys are renewed."""

from jumping_vpn.core import facts as f
from support.roles import World


def test_keys_that_carried_their_share_are_renewed_by_a_jump_onto_the_same_path():
    world = World()
    world.attach()
    world.run(5_000)

    world.tell(f.BindingWorn(epoch=1))
    world.run(6_000)

    assert world.moves()[1:] == ["v2 ATTACHED -> ATTACHED wlan0 REKEY"]
