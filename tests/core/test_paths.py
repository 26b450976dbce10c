"""The client's paths: a find for which there is no room waits for a place."""

from jumping_vpn.core.commands import CandidateAppeared, CandidateGone
from jumping_vpn.core.ids import Millis
from jumping_vpn.core.paths import WAITING_MAX, Paths
from jumping_vpn.core.policy.limits import Policy
from jumping_vpn.core.session.reasons import Reason
from support.roles import ENDPOINT, World

ROOM = 1


def test_a_candidate_beyond_the_limit_waits_for_a_place():
    paths = Paths()
    paths.open(found("wlan0"), room=ROOM, now=Millis(0))

    assert paths.open(found("wwan0"), room=ROOM, now=Millis(0)) is None
    assert paths.next_waiting(room=ROOM) is None

    paths.close(gone("wlan0"))

    assert paths.next_waiting(room=ROOM) == found("wwan0")


def test_a_candidate_that_goes_away_waits_no_longer():
    paths = Paths()
    paths.open(found("wlan0"), room=ROOM, now=Millis(0))
    paths.open(found("wwan0"), room=ROOM, now=Millis(0))

    paths.close(gone("wwan0"))
    paths.close(gone("wlan0"))

    assert paths.next_waiting(room=ROOM) is None


def test_what_waits_is_bounded():
    paths = Paths()
    for number in range(2 * WAITING_MAX):
        paths.open(found(f"eth{number}"), room=ROOM, now=Millis(0))
    for number in range(2 * WAITING_MAX):
        paths.close(gone(f"eth{number}"))
        opened = paths.next_waiting(room=ROOM)
        if opened is not None:
            paths.open(opened, room=ROOM, now=Millis(0))

    assert paths.last_id <= 1 + WAITING_MAX


def test_the_client_opens_what_waited_and_jumps_onto_it():
    world = World(policy=Policy(max_candidates=1))
    world.attach()

    world.vanish("wlan0")
    world.run(1_000)

    assert world.client.transport is not None
    assert world.client.transport.interface == "wwan0"


def found(interface: str) -> CandidateAppeared:
    return CandidateAppeared(interface=interface, endpoint=ENDPOINT)


def gone(interface: str) -> CandidateGone:
    return CandidateGone(interface=interface, endpoint=None, cause=Reason.LINK_DOWN)
