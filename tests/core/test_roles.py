"""Both roles in conversation: what each fault makes of one session."""

import pytest

from jumping_vpn.core import facts as f
from jumping_vpn.core.commands import GoDown, OperatorJump, Stop
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Outcome, SaveFailure
from jumping_vpn.core.session.model import State
from support.roles import NUMBER, Link, World, observed

HOUR = 3_600_000


def test_a_session_is_born_and_its_state_is_durable():
    world = World()

    world.attach()

    assert world.moves() == ["v1 BIRTH -> ATTACHED wlan0 HANDSHAKE_OK"]
    assert world.state is not None
    assert world.state.version == 1
    assert world.client.view is not None


def test_a_dead_path_and_its_replacement_are_two_moves():
    world = attached()

    world.silence("wlan0")
    world.run(1_000)

    assert world.moves()[1:] == [
        "v2 ATTACHED -> RECOVERING - HEARTBEAT_TIMEOUT",
        "v3 RECOVERING -> ATTACHED wwan0 REATTACH_SUCCESS",
    ]
    assert agreed(world)


def test_a_link_that_goes_down_is_a_death_at_once():
    world = attached()

    world.vanish("wlan0")
    world.run(260)

    assert world.moves()[1:] == [
        "v2 ATTACHED -> RECOVERING - LINK_DOWN",
        "v3 RECOVERING -> ATTACHED wwan0 REATTACH_SUCCESS",
    ]


def test_a_planned_jump_is_one_move():
    world = attached()

    world.tell(OperatorJump(transport=None))
    world.run(1_000)

    assert world.moves()[1:] == ["v2 ATTACHED -> ATTACHED wwan0 OPERATOR_SWITCH"]
    assert agreed(world)


def test_a_lost_acknowledgement_is_repeated_from_memory():
    world = attached()
    world.drop = once("down", "RESPONSE", times=2)

    world.silence("wlan0")
    world.run(1_000)

    assert len(world.moves()) == 3
    assert agreed(world)


def test_a_duplicated_request_makes_one_move():
    world = attached()
    deliver = world.up

    def twice(interface, kind, arrive):
        deliver(interface, kind, arrive)
        if kind == "REQUEST":
            deliver(interface, kind, arrive)

    world.up = twice
    world.silence("wlan0")
    world.run(1_000)

    assert len(world.moves()) == 3
    assert agreed(world)


def test_of_two_candidates_that_race_one_wins():
    world = attached()
    world.links["wlan1"] = Link(delay=11)
    world.appear("wlan1")
    world.run(400)

    world.vanish("wlan0")
    world.run(2_000)

    assert len(world.moves()) == 3
    assert [e.reason_code for e in observed(world.events, "REATTACH_REJECT")] == ["RACE_LOST"]
    assert agreed(world)


def test_a_jump_that_is_never_confirmed_is_lost_and_tried_again():
    world = attached()
    world.drop = once("up", "CONFIRM", times=6)

    world.silence("wlan0")
    world.run(790)

    assert world.moves()[3:] == ["v4 ATTACHED -> RECOVERING - CONFIRM_TIMEOUT"]
    assert world.store.unconfirmed is not None


def test_a_newer_attempt_supersedes_an_unconfirmed_binding_as_the_same_jump():
    world = attached()
    world.drop = lambda direction, kind: (direction, kind) == ("down", "RESPONSE")

    world.silence("wlan0")
    world.run(300)
    world.links["wlan1"] = Link()
    world.appear("wlan1")
    world.run(400)
    world.drop = lambda *_: False
    world.run(3_000)

    assert world.moves()[3:] == ["v4 ATTACHED -> ATTACHED wwan0 REATTACH_SUCCESS"]
    assert agreed(world)
    assert len(world.store.jumps) == 1


def test_a_restarted_gateway_keeps_the_session():
    world = attached()

    world.start_gateway()
    world.tell(f.ResetHinted(epoch=1))
    world.run(1_000)

    assert world.moves()[1:] == [
        "v2 ATTACHED -> RECOVERING - GATEWAY_RESTARTED",
        "v3 RECOVERING -> ATTACHED wlan0 REATTACH_SUCCESS",
    ]
    assert agreed(world)


def test_a_gateway_that_lost_its_answer_refuses_and_the_client_asks_anew():
    world = attached()
    world.drop = lambda direction, kind: (direction, kind) == ("down", "RESPONSE")
    world.silence("wlan0")
    world.run(250)

    world.start_gateway()
    world.drop = lambda *_: False
    world.run(3_000)

    reasons = [event.reason_code for event in observed(world.client_events, "REATTACH_REJECT")]
    assert reasons == ["REPLAY_DETECTED"]
    assert agreed(world)


def test_a_restarted_client_continues_its_session_without_a_handshake():
    world = attached()

    world.start_client(world.state)
    world.appear("wlan0", "wwan0")
    world.run(1_000)

    assert world.store.session.version == 3
    assert agreed(world)


def test_a_client_that_was_stopped_wastes_no_state():
    world = attached()
    world.tell(Stop())

    world.start_client(world.state)
    world.appear("wlan0")
    world.run(1_000)

    assert agreed(world)


def test_an_old_state_file_is_refused_and_no_key_is_used_twice():
    world = attached()
    old = world.state
    world.silence("wlan0")
    world.run(1_000)
    before = world.store

    world.start_client(old)
    world.appear("wwan0")
    world.run(4_000)

    assert world.store.session.version == before.session.version
    assert any("cannot open" in line for line in world.log)


def test_a_clock_that_is_an_hour_off_costs_nothing_while_the_client_runs():
    world = World(clock_error_ms=-HOUR)
    world.attach()

    world.silence("wlan0")
    world.run(260)

    assert world.moves()[-1] == "v3 RECOVERING -> ATTACHED wwan0 REATTACH_SUCCESS"


def test_a_restarted_client_whose_clock_is_an_hour_off_asks_once_more():
    world = World(clock_error_ms=HOUR)
    world.attach()

    world.start_client(world.state)
    world.appear("wlan0")
    world.run(1_000)

    reasons = [event.reason_code for event in observed(world.client_events, "REATTACH_REJECT")]
    assert reasons == ["FRESHNESS_INVALID"]
    assert agreed(world)


def test_a_blackout_ends_with_the_first_path_that_is_back():
    world = attached()
    world.links["wwan0"].up = world.links["wwan0"].down = False
    world.silence("wlan0")
    world.run(5_000)

    world.links["wwan0"].up = world.links["wwan0"].down = True
    world.run(5_500)

    assert world.moves()[-1] == "v3 RECOVERING -> ATTACHED wwan0 REATTACH_SUCCESS"


def test_a_blackout_longer_than_the_loss_ttl_ends_the_session_on_both_sides():
    policy = Policy(transport_loss_ttl=70_000, recovery_window=1_000)
    world = World(policy=policy)
    world.attach()
    world.vanish("wlan0")
    world.vanish("wwan0")
    world.hear(f.PeerSilent(number=NUMBER, epoch=1, silent_us=10_000_000))

    world.run(80_000)

    assert world.store.session.state is State.TERMINATED
    assert world.finish is not None
    assert world.finish.outcome is Outcome.TERMINATED
    assert world.state is None


def test_a_full_disk_refuses_the_jump_until_there_is_room():
    world = attached()
    world.failing = [SaveFailure.STORE_UNAVAILABLE]

    world.silence("wlan0")
    world.run(3_000)

    assert [e.reason_code for e in observed(world.events, "REATTACH_REJECT")] == [
        "STORE_UNAVAILABLE"
    ]
    assert agreed(world)


def test_a_concurrent_update_is_handled_again_unseen_by_the_client():
    world = attached()
    world.failing = [SaveFailure.CONCURRENT_UPDATE]

    world.silence("wlan0")
    world.run(1_000)

    assert len(world.moves()) == 3
    assert not list(observed(world.client_events, "REATTACH_REJECT"))


def test_a_bad_path_is_told_to_the_client_and_acknowledged():
    world = attached()

    world.hear(late(epoch=1))
    world.run(1_000)

    assert world.moves()[1:] == ["v2 ATTACHED -> VOLATILE wlan0 HEARTBEAT_LATE"]
    assert world.client.view.session.version == 2


def test_a_lost_notice_is_repeated():
    world = attached()
    world.drop = once("down", "CONTROL", times=1)

    world.hear(late(epoch=1))
    world.run(2_000)

    assert world.client.view.session.version == 2


def test_nat_rebinding_moves_the_session_when_the_way_in_is_unproven():
    world = attached()

    world.tell(f.AddressMoved(number=0, epoch=1, source=""))
    world.run(210)
    assert len(world.moves()) == 1
    world.tell(late(epoch=1, number=0))
    world.run(1_000)

    assert world.moves()[1] == "v2 ATTACHED -> RECOVERING - NAT_REBINDING"
    assert agreed(world)


def test_going_down_ends_the_session_for_good():
    world = attached()

    world.tell(GoDown())
    world.run(1_000)

    assert world.moves()[1:] == ["v2 ATTACHED -> TERMINATED - CLIENT_REQUEST"]
    assert world.finish is not None
    assert world.state is None


def test_the_budget_of_switches_degrades_and_then_lets_the_session_return():
    world = World(policy=Policy(max_switches_per_minute=2))
    world.attach()
    for number, interface in enumerate(("wlan0", "wwan0", "wlan0")):
        for link in world.links.values():
            link.up = link.down = True
        world.silence(interface)
        world.run(1_000 * (number + 1))

    assert world.moves()[-1].endswith("RECOVERING -> DEGRADED - SWITCH_RATE_LIMITED")
    world.run(70_000)

    assert agreed(world)


def test_an_unreachable_gateway_is_said_to_be_unreachable_or_unknown():
    world = World()
    world.links["wlan0"].up = False

    world.appear("wlan0")
    world.run(11_000)

    assert world.finish.outcome is Outcome.UNREACHABLE_OR_UNKNOWN


def test_a_refused_handshake_says_why():
    world = World()
    world.failing = [SaveFailure.STORE_UNAVAILABLE]

    world.attach()

    assert world.finish.outcome is Outcome.REFUSED
    assert "STORE_UNAVAILABLE" in world.finish.detail


@pytest.mark.parametrize("fault", ["silence", "restart", "race"])
def test_a_run_is_the_same_every_time(fault):
    first, second = told(fault), told(fault)

    assert first == second


def told(fault: str) -> list[object]:
    world = attached()
    if fault == "restart":
        world.start_gateway()
        world.tell(f.ResetHinted(epoch=1))
    elif fault == "race":
        world.vanish("wlan0")
    else:
        world.silence("wlan0")
    world.run(2_000)
    return [*world.events, *world.client_events]


def attached() -> World:
    world = World()
    world.attach()
    assert world.client.view is not None
    return world


def agreed(world: World) -> bool:
    """Say whether both sides hold the same session, bound and confirmed."""
    view, record = world.client.view, world.store
    assert view is not None
    assert record is not None
    assert record.session.state is State.ATTACHED
    assert record.unconfirmed is None
    assert view.session.version == record.session.version
    assert view.session.epoch == record.session.epoch
    assert world.root == record.confirmed.sealed
    return True


def once(direction: str, kind: str, *, times: int):
    left = [times]

    def drop(of: str, what: str) -> bool:
        if (of, what) != (direction, kind) or not left[0]:
            return False
        left[0] -= 1
        return True

    return drop


def late(*, epoch: int, number: int = NUMBER) -> f.PathSampled:
    return f.PathSampled(
        number=number,
        epoch=epoch,
        srtt_us=20_000,
        base_rtt_us=20_000,
        jitter_us=0,
        base_jitter_us=0,
        loss_in=0.0,
        loss_out=0.0,
        late_us=60_000,
    )
