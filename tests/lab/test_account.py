"""Whether events and observers agree on what was lost is decided packet by packet."""

from jumping_vpn.lab.account import DOUBT_MS_MAX, Account, Counted, Lane, counted, passage
from jumping_vpn.lab.probe import NS_PER_MS, EchoWindow
from jumping_vpn.lab.tap import Sighting

START = 10_000 * NS_PER_MS
WAY = 5 * NS_PER_MS
KILLED = START + 100 * NS_PER_MS
END = START + 1_000 * NS_PER_MS
HANDOVER = {
    "given_up_up": 1,
    "in_doubt_up": 2,
    "given_up_down": 0,
    "in_doubt_down": 0,
    "client_counter_lost": False,
    "gateway_counter_lost": True,
}


def test_a_packet_that_left_is_not_lost_and_one_that_left_twice_is_doubled() -> None:
    entered = [seen(0, "a"), seen(1, "b"), seen(2, "c")]
    left = [seen(5, "a"), seen(6, "c"), seen(7, "c")]

    found = passage(entered, left, START, END)

    assert (found.lost, found.duplicated) == (1, 1)
    assert [packet.left_ns is None for packet in found.packets] == [False, True, False]


def test_packets_that_are_alike_are_paired_one_by_one() -> None:
    entered = [seen(0, "ack"), seen(1, "ack"), seen(2, "ack")]
    left = [seen(5, "ack"), seen(6, "ack")]

    found = passage(entered, left, START, END)

    assert (found.lost, found.duplicated) == (1, 0)


def test_what_entered_before_the_span_does_not_count_in_it() -> None:
    entered = [seen(-3, "late"), seen(1, "a")]
    left = [seen(2, "late"), seen(6, "a")]

    found = passage(entered, left, START, END)

    assert (len(found.packets), found.lost, found.duplicated) == (1, 0, 0)


def test_doubt_is_what_was_lost_and_what_arrived_just_before_it_unreported() -> None:
    up = lane(delivered=50, lost=20, in_doubt=26)

    assert list(up.disagreements()) == []
    assert up.report()["counted_but_arrived"] == 6
    assert "26 in doubt by the events = 20 lost (0 echoes) and 6 that arrived" in up.sentence()


def test_a_loss_that_the_events_do_not_count_is_named() -> None:
    up = lane(delivered=50, lost=20, in_doubt=19)

    assert list(up.disagreements()) == ["up: 20 inner packets were lost, the events count 19"]


def test_events_that_count_what_had_long_arrived_are_named() -> None:
    up = lane(delivered=90, lost=20, in_doubt=20 + 80)

    assert DOUBT_MS_MAX < 80
    assert list(up.disagreements()) == ["up: in doubt is what arrived 80 ms before the fault"]


def test_what_was_given_up_may_have_arrived_but_covers_no_more_than_its_number() -> None:
    covered = lane(delivered=50, lost=2, given_up=3)
    uncovered = lane(delivered=50, lost=4, given_up=3)

    assert list(covered.disagreements()) == []
    assert covered.report()["counted_but_arrived"] == 1
    assert list(uncovered.disagreements()) == ["up: 4 inner packets were lost, the events count 3"]


def test_packets_in_doubt_that_are_not_the_lost_ones_are_named() -> None:
    entered = [seen(at, str(at)) for at in range(100)]
    left = [seen(at + 5, str(at)) for at in range(95) if at != 10]
    found = passage(entered, left, START, END)
    up = Lane(
        name="up", seen=found, told=Counted(given_up=0, in_doubt=6), since_ns=START + 95 * NS_PER_MS
    )

    assert list(up.disagreements()) == [
        "up: packets were lost of which the events say that they arrived"
    ]


def test_what_a_killed_gateway_held_has_no_number_in_the_events_and_that_is_said() -> None:
    told = counted([HANDOVER], "down")
    down = Lane(name="down", seen=lane(delivered=5, lost=3).seen, told=told, since_ns=KILLED)

    assert told.unknown
    assert list(down.disagreements()) == []
    assert down.sentence().startswith("down 3 lost (0 echoes) in the process that was killed")


def test_the_counts_of_several_jumps_are_added() -> None:
    assert counted([HANDOVER, HANDOVER], "up") == Counted(given_up=2, in_doubt=4)


def test_the_probe_must_lose_just_the_echoes_that_the_observers_miss() -> None:
    quiet = lane(delivered=5, lost=0)

    def account(*, lost: int) -> Account:
        window = EchoWindow(sent=5, lost=lost, duplicated=0, gap_ms=5.0)
        return Account(up=quiet, down=quiet, echo=window, unanswered=1)

    assert account(lost=1).disagreements() == ()
    assert account(lost=2).disagreements() == ("the probe lost 2 echoes, the observers 1",)


def lane(*, delivered: int, lost: int, in_doubt: int = 0, given_up: int = 0) -> Lane:
    """One packet each millisecond up to the fault, of which the last `lost` never left."""
    count = delivered + lost
    first = KILLED - delivered * NS_PER_MS - WAY - START
    entered = [seen(first / NS_PER_MS + at, str(at)) for at in range(count)]
    left = [Sighting(each.at_ns + WAY, each.key, None) for each in entered[:delivered]]
    return Lane(
        name="up",
        seen=passage(entered, left, START, END),
        told=Counted(given_up=given_up, in_doubt=in_doubt),
        since_ns=KILLED,
    )


def seen(at_ms: float, name: str) -> Sighting:
    return Sighting(START + int(at_ms * NS_PER_MS), name.encode(), None)
