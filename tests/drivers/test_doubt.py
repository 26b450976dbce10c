"""When a client says that nobody answers its session, and how such a session ends."""

from jumping_vpn.client.doubt import UNANSWERED, UNANSWERED_AFTER, doubt_of
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.ready import Finish, Outcome
from support.roles import World

SOON = Millis(UNANSWERED_AFTER - 1)
LOST = 70_000
POLICY = Policy(transport_loss_ttl=LOST, recovery_window=1_000)


def test_a_session_that_nobody_answers_is_doubted_after_a_while() -> None:
    world = continued_from_an_old_copy()

    early = doubt_of(world.client, running_ms=SOON)
    late = doubt_of(world.client, running_ms=UNANSWERED_AFTER)

    assert (early, late) == ("", UNANSWERED)


def test_a_session_that_nobody_answers_ends_as_one_that_nobody_answered() -> None:
    world = continued_from_an_old_copy()

    world.run(world.now + LOST + 1_000)

    assert world.finish == Finish(outcome=Outcome.UNANSWERED, detail="TTL_TRANSPORT_LOSS_EXPIRED")
    assert world.state is None


def test_a_session_that_is_answered_is_not_doubted() -> None:
    world = World(policy=POLICY)
    world.attach()
    world.start_client(world.state)
    world.appear("wlan0")
    world.run(world.now + 1_000)

    assert doubt_of(world.client, running_ms=UNANSWERED_AFTER) == ""


def test_without_any_path_there_is_another_explanation_and_no_doubt() -> None:
    world = World(policy=POLICY)
    world.attach()
    world.start_client(world.state)
    world.run(world.now + 20_000)

    assert doubt_of(world.client, running_ms=UNANSWERED_AFTER) == ""

    world.run(world.now + LOST)

    assert world.finish is not None
    assert world.finish.outcome is Outcome.TERMINATED


def test_a_session_of_this_process_is_not_doubted_wherever_it_is_carried() -> None:
    world = World(policy=POLICY)
    world.attach()
    world.vanish("wlan0")
    world.vanish("wwan0")
    world.links["wlan1"] = world.links["wlan0"]
    world.appear("wlan1")
    world.links["wlan1"].up = world.links["wlan1"].down = False
    world.run(world.now + LOST - 1_000)

    assert doubt_of(world.client, running_ms=UNANSWERED_AFTER) == ""

    world.run(world.now + 2_000)

    assert world.finish is not None
    assert world.finish.outcome is Outcome.TERMINATED


def test_a_client_that_has_no_session_yet_has_no_doubt() -> None:
    world = World()
    world.appear("wlan0")

    assert doubt_of(world.client, running_ms=UNANSWERED_AFTER) == ""


def continued_from_an_old_copy() -> World:
    """A client that was started with its state file of before its last jump.

    The gateway answers no probe that is sealed under a root that it left behind.
    """
    world = World(policy=POLICY)
    world.attach()
    old = world.state
    world.silence("wlan0")
    world.run(world.now + 1_000)
    world.start_client(old)
    world.drop = lambda direction, kind: (direction, kind) == ("down", "PROBE")
    world.appear("wwan0")
    world.run(world.now + 1_000)
    return world
