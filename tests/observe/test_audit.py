"""Whatever is done to a log, the audit names the line."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jumping_vpn.core.events import Event, decode_event, encode_event
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.observe.audit import PART, Extent, Report, verify
from jumping_vpn.observe.chain import START, Head, link
from support.saves import birth, end, loss_and_return, observation, takeover


def told_events() -> list[Event]:
    """Return the events of two sessions and a node, in the order in which they happened."""
    one, two = birth(1), birth(2)
    moves = loss_and_return(one.record)
    taken = takeover(two.record, owner=2)
    return [
        observation(1),
        *one.events,
        *two.events,
        *moves.events,
        *taken.events,
        observation(2),
        *end(moves.record).events,
    ]


def chained(events: list[Event], head: Head = START) -> tuple[list[bytes], Head]:
    lines = []
    for event in events:
        line, head = link(encode_event(event), head.seq + 1, head)
        lines.append(line)
    return lines, head


EVENTS = told_events()
LINES, HEAD = chained(EVENTS)


def audited(tmp_path: Path, lines: list[bytes], extent: Extent | None = None) -> Report:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return verify(path) if extent is None else verify(path, extent=extent)


def refused_at(tmp_path: Path, lines: list[bytes]) -> int:
    report = audited(tmp_path, lines)
    assert not report.clean
    assert report.first is not None
    return report.first.line


def test_the_log_of_the_core_is_clean(tmp_path: Path) -> None:
    report = audited(tmp_path, LINES)

    assert report.first is None
    assert (report.events, report.moves, report.sessions, report.live) == (8, 6, 2, 1)
    assert report.head == HEAD


def leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from leaves(each, (*at, name))
    elif isinstance(value, list) and value:
        for index, each in enumerate(value):
            yield from leaves(each, (*at, index))
    else:
        yield at


def changed(line: bytes, at: tuple[Any, ...]) -> bytes:
    whole = msgspec.json.decode(line)
    inner = whole
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = altered(inner[at[-1]])
    return msgspec.json.encode(whole)


def altered(value: object) -> object:
    match value:
        case str():
            return value[:-1] + ("0" if value[-1:] != "0" else "1")
        case bool():
            return not value
        case int() | float():
            return value + 1
        case _:
            return "something"


FIELDS = [
    pytest.param(index, at, id=f"{index}-{'.'.join(map(str, at))}")
    for index, line in enumerate(LINES)
    for at in leaves(msgspec.json.decode(line))
]


@pytest.mark.parametrize(("index", "at"), FIELDS)
def test_a_changed_field_is_named(tmp_path: Path, index: int, at: tuple[Any, ...]) -> None:
    lines = [*LINES]
    lines[index] = changed(lines[index], at)

    assert refused_at(tmp_path, lines) == index + 1


@pytest.mark.parametrize("index", range(len(LINES) - 1))
def test_a_dropped_line_is_named_by_the_one_that_follows(tmp_path: Path, index: int) -> None:
    lines = [*LINES[:index], *LINES[index + 1 :]]

    assert refused_at(tmp_path, lines) == index + 1


def test_a_cut_end_is_seen_by_who_noted_the_head(tmp_path: Path) -> None:
    assert audited(tmp_path, LINES[:-1]).clean

    report = audited(tmp_path, LINES[:-1], Extent(end=HEAD))

    assert report.first is not None
    assert "known to reach" in report.first.sentence


@pytest.mark.parametrize(("index", "next_index"), list(pairwise(range(len(LINES)))))
def test_swapped_lines_are_named(tmp_path: Path, index: int, next_index: int) -> None:
    lines = [*LINES]
    lines[index], lines[next_index] = lines[next_index], lines[index]

    assert refused_at(tmp_path, lines) == index + 1


@pytest.mark.parametrize("index", range(len(LINES) + 1))
@pytest.mark.parametrize("added", [b"", b"{}", LINES[0], LINES[-1]])
def test_an_added_line_is_named(tmp_path: Path, index: int, added: bytes) -> None:
    lines = [*LINES[:index], added, *LINES[index:]]

    first = refused_at(tmp_path, lines)

    # The first line once more is only out of place from its second copy on, as is the last.
    copies = [place + 1 for place, line in enumerate(lines) if line == added]
    assert first in {index + 1, index + 2, *copies}


def test_a_torn_end_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(LINES))

    report = verify(path)

    assert report.first is not None
    assert (report.first.line, report.first.sentence) == (len(LINES), "the line is cut off")


ILLEGAL = {
    "a version is skipped": {"state_version": 4},
    "a reason that its row does not allow": {"reason_code": Reason.CLIENT_REQUEST},
    "an epoch that was used before": {"binding_epoch": 1},
}


@pytest.mark.parametrize("change", ILLEGAL.values(), ids=ILLEGAL.keys())
def test_a_forger_who_makes_the_chain_again_must_still_tell_a_legal_story(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    events = [*EVENTS]
    jump = next(place for place, each in enumerate(events) if each.state_version == 3)
    events[jump] = msgspec.structs.replace(events[jump], **change)
    lines, _ = chained(events)

    assert refused_at(tmp_path, lines) == jump + 1


def test_a_move_that_is_left_out_is_noticed_though_the_chain_is_made_again(tmp_path: Path) -> None:
    events = [each for each in EVENTS if each.state_version != 2 or "0002" in str(each.session_id)]
    lines, _ = chained(events)

    report = audited(tmp_path, lines)

    assert report.first is not None
    assert "version before the event is 2, the log told 1" in report.first.sentence


def test_the_chain_goes_on_in_the_next_file(tmp_path: Path) -> None:
    first, second = tmp_path / "events.1.jsonl", tmp_path / "events.jsonl"
    first.write_bytes(b"".join(line + b"\n" for line in LINES[:3]))
    second.write_bytes(b"".join(line + b"\n" for line in LINES[3:]))

    assert verify(first, second).clean
    assert verify(second, extent=PART).clean
    assert not verify(second).clean
    assert not verify(second, first).clean


def test_a_log_of_observations_only_is_clean(tmp_path: Path) -> None:
    lines, _ = chained([observation(ordinal) for ordinal in range(5)])

    report = audited(tmp_path, lines)

    assert report.clean
    assert (report.events, report.sessions) == (5, 0)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    read = [decode_event(line) for line in LINES]

    assert [each.event_id for each in read] == [each.event_id for each in EVENTS]
    assert [each.data for each in read] == [each.data for each in EVENTS]
