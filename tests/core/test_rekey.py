"""When a binding's keys are renewed."""

from jumping_vpn.core import facts as f
from jumping_vpn.core.commands import OperatorJump
from support.roles import World, observed


def test_keys_that_carried_their_share_are_renewed_by_a_jump_onto_the_same_path():
    world = World()
    world.attach()
    world.run(5_000)

    world.tell(f.BindingWorn(epoch=1))
    world.run(6_000)

    assert world.moves()[1:] == ["v2 ATTACHED -> ATTACHED wlan0 REKEY"]


def test_keys_that_wear_out_inside_the_cooldown_are_renewed_at_its_end():
    world = jumped()

    world.tell(f.BindingWorn(epoch=2))
    world.run(3_000)

    assert world.moves()[2:] == ["v3 ATTACHED -> ATTACHED wwan0 REKEY"]


def test_an_order_does_not_take_the_renewal_that_waits_for_its_own_success():
    world = jumped()
    world.tell(f.BindingWorn(epoch=2))
    world.run(500)

    world.tell(OperatorJump(transport="wlan0"))

    (denial,) = observed(world.client_events[-1:], "SWITCH_DENIED")
    assert denial.reason_code == "COOLDOWN_ACTIVE"
    assert denial.data.retry_after_ms > 0


def jumped() -> World:
    """A session that a person moved to its second path 200 ms after the beginning."""
    world = World()
    world.attach()
    world.run(200)
    world.tell(OperatorJump(transport="wwan0"))
    world.run(400)
    return world
