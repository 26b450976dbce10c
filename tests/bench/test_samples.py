"""Figures of many rounds become medians, ranges and ratios, and doubt is not counted."""

from dataclasses import replace
from pathlib import Path

import pytest
from bench.measures import samples
from bench.measures.goals import Goal, judge
from bench.measures.rounds import Plan
from bench.measures.samples import Sample
from bench.measures.table import number, table
from bench.peers.openvpn import OpenVpn
from bench.peers.plain import Plain
from bench.peers.tinc import Tinc

OURS, THEIRS = "jumping-vpn", "wireguard-go"


def test_a_summary_is_the_median_of_the_rounds_with_their_range():
    told = samples.summary(rounds(OURS, 30.0, 10.0, 20.0), OURS, "TCP")

    assert told == samples.Summary(median=20.0, low=10.0, high=30.0, count=3)


def test_what_was_measured_on_a_busy_machine_does_not_count():
    good, bad = rounds(OURS, 30.0, 10.0)

    told = samples.summary([good, doubtful(bad)], OURS, "TCP")

    assert told == samples.Summary(median=30.0, low=30.0, high=30.0, count=1, doubtful=1)


def test_where_everything_is_doubtful_the_figure_is_still_told():
    told = samples.summary([doubtful(each) for each in rounds(OURS, 30.0, 10.0)], OURS, "TCP")

    assert told is not None
    assert (told.median, told.doubtful, told.is_doubtful) == (20.0, 2, True)


def test_a_ratio_is_taken_within_each_round_and_not_between_medians():
    ours, theirs = rounds(OURS, 100.0, 40.0, 90.0), rounds(THEIRS, 50.0, 10.0, 30.0)

    told = samples.ratio([*ours, *theirs], "TCP", OURS, THEIRS)

    assert told == samples.Summary(median=3.0, low=2.0, high=4.0, count=3)


def test_a_round_that_only_one_of_both_has_makes_no_ratio():
    ours, theirs = rounds(OURS, 100.0, 40.0), rounds(THEIRS, 50.0)

    told = samples.ratio([*ours, *theirs], "TCP", OURS, THEIRS)

    assert told is not None
    assert told.count == 1
    assert samples.ratio(ours, "TCP", OURS, THEIRS) is None


def test_a_round_that_was_repeated_counts_once():
    first, again = rounds(OURS, 1.0)[0], rounds(OURS, 3.0)[0]

    told = samples.summary([first, again], OURS, "TCP")

    assert told is not None
    assert (told.median, told.count) == (3.0, 1)


def test_samples_are_read_back_from_their_lines_with_what_else_is_kept(tmp_path: Path):
    kept = rounds(OURS, 1.5, 2.5)
    file = tmp_path / "throughput.jsonl"
    lines = [each.line().replace("{", '{"commit": "abc", ', 1) for each in kept]
    file.write_text("\n".join(['{"bench": "store", "saves": 3}', "a remark", *lines]))

    assert samples.read(file) == kept
    assert samples.read(file, run="another") == []
    assert samples.read(tmp_path / "absent") == []


@pytest.mark.parametrize(("value", "reached"), [(2.0, True), (1.9, False)])
def test_a_goal_is_reached_at_its_bound(*, value: float, reached: bool):
    goal = Goal(point=1, text="", figure="TCP", under=THEIRS, at_least=2)

    verdict = judge(goal, [*rounds(OURS, value), *rounds(THEIRS, 1.0)])

    assert verdict is not None
    assert verdict.reached is reached


def test_a_goal_is_not_judged_without_its_peer():
    goal = Goal(point=1, text="", figure="TCP", under=THEIRS, at_least=2)

    assert judge(goal, rounds(OURS, 5.0)) is None


def test_the_table_has_a_row_for_each_peer_and_says_what_is_doubtful():
    kept = [*rounds(OURS, 1234.5, 1300.0), doubtful(rounds(THEIRS, 9.25)[0])]

    assert table(kept, order=(OURS, THEIRS)).splitlines() == [
        "                      TCP, Mbit/s",
        "jumping-vpn   1,267 (1,234-1,300)",
        "wireguard-go                 9.25",
        "",
        "doubtful: 1 of 3 samples, as others used 50% of the processors",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (45.67, "45.7"), (1.234, "1.23"), (0.0, "0.00")]
)
def test_a_figure_has_the_digits_that_matter(value: float, text: str):
    assert number(value) == text


def test_no_peer_is_always_first_and_each_round_has_them_all():
    peers = {Plain: "1", OpenVpn: "2", Tinc: "3"}
    plan = Plan(bench="trial", run="r", rounds=range(1, 7), seconds=1.0, peers=peers)

    orders = [plan.order(each) for each in plan.rounds]

    assert all(set(each) == peers.keys() for each in orders)
    assert {each[0] for each in orders} == peers.keys()


def rounds(peer: str, *values: float) -> list[Sample]:
    return [
        Sample(
            bench="throughput",
            run="r",
            round=index,
            peer=peer,
            version="1",
            figure="TCP",
            unit="Mbit/s",
            value=value,
        )
        for index, value in enumerate(values, start=1)
    ]


def doubtful(sample: Sample) -> Sample:
    return replace(sample, trusted=False, doubt="others used 50% of the processors")
