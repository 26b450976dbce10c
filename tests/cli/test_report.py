"""What a person sees: one line per change, and a held terminal never holds the session."""

import io
import json
import threading

import click
import msgspec
import pytest

from jumping_vpn.cli.report import EVENTS_PER_SECOND_MAX, LINES_MAX, Terminal, line_of, terminal
from jumping_vpn.cli.sessions import _row as session_row
from jumping_vpn.cli.status import describe
from jumping_vpn.client.status import CandidateLine, ClientStatus, LastJump
from jumping_vpn.core.event_data import DATA, CandidateData, Handover, SecurityData, SwitchData
from jumping_vpn.core.events import DATA_OF, Event, EventType, Severity, encode_event
from jumping_vpn.core.redaction import Shown
from jumping_vpn.core.session.model import State
from jumping_vpn.core.session.reasons import Reason
from jumping_vpn.gateway.status import SessionLine
from jumping_vpn.observe.chain import START, link

WIFI = Shown("udp/wifi/203.0.113.0/24#1")
LTE = Shown("udp/lte/203.0.113.0/24#2")


def test_a_jump_is_one_line_with_both_transports_and_the_cause() -> None:
    line = click.unstyle(line_of(switch(given_up_down=2, in_doubt_up=1)))

    assert line.split()[1:4] == ["abcdef01", "v5", "ATTACHED"]
    assert line.endswith(
        f"{WIFI} -> {LTE}  HEARTBEAT_TIMEOUT, 2 given up, 1 in doubt  REATTACH_SUCCESS"
    )


def test_a_jump_that_lost_nothing_says_nothing_of_loss() -> None:
    assert line_of(switch()).endswith("HEARTBEAT_TIMEOUT  REATTACH_SUCCESS")


def test_a_cause_that_is_the_reason_is_told_once() -> None:
    jumped = switch(cause=Reason.OPERATOR_SWITCH, reason=Reason.OPERATOR_SWITCH)

    assert line_of(jumped).count("OPERATOR_SWITCH") == 1


def test_a_candidate_is_one_line_with_its_round_trip() -> None:
    data = CandidateData(transport=LTE, srtt_us=12_345, loss=0.0)

    line = click.unstyle(line_of(event(EventType.CANDIDATE_UP, data)))

    assert "CANDIDATE_UP" in line
    assert f"{LTE}  12.3 ms" in line


def test_programs_get_events_alone_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal(as_json=True) as shown:
        shown.say("serving")
        shown.warn("careful")
        shown.happened(switch())

    output = capsys.readouterr()
    assert json.loads(output.out)["event_type"] == "TRANSPORT_SWITCH"
    assert "serving" in output.err
    assert "careful" in output.err


def test_a_line_of_the_log_is_shown_as_it_stands_there_or_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    line, _ = link(encode_event(msgspec.structs.replace(switch(), node_seq=0)), 7, START)
    with terminal(as_json=True) as shown:
        shown.logged(line)
    for_programs = capsys.readouterr().out
    with terminal(as_json=False) as shown:
        shown.logged(line)
    for_people = capsys.readouterr().out

    assert for_programs == line.decode() + "\n"
    assert click.unstyle(for_people) == click.unstyle(line_of(switch())) + "\n"


def test_people_get_lines_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal(as_json=False) as shown:
        shown.say("serving")
        shown.happened(switch())
        shown.say("stopping")

    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[2]] == ["serving", "stopping"]


def test_an_output_that_nobody_reads_costs_lines_and_never_waits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = Terminal(as_json=False)
    for number in range(LINES_MAX + 3):
        shown.say(str(number))

    write_what_waits(shown)
    shown.say("again")
    write_what_waits(shown)

    output = capsys.readouterr()
    assert output.out.splitlines() == [*map(str, range(LINES_MAX)), "again"]
    assert "(3 lines were not shown: the output was not read)" in output.err


def test_of_a_storm_of_events_people_are_shown_the_first_and_the_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = Terminal(as_json=False)
    storm = event(EventType.SECURITY_EVENT, SecurityData(what="FORGED", source=None, count=3))
    for _ in range(EVENTS_PER_SECOND_MAX + 7):
        shown.happened(storm)

    shown.finish()
    shown.write()

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == EVENTS_PER_SECOND_MAX + 1
    assert lines[-1] == "(7 more events in that second; the log has them)"


def test_lines_for_an_output_that_is_closed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = io.StringIO()
    monkeypatch.setattr("sys.stderr", errors)
    monkeypatch.setattr("sys.stdout", Closed())
    shown = Terminal(as_json=False)

    shown.say("one")
    write_what_waits(shown)
    shown.warn("two")
    write_what_waits(shown)

    assert "(1 lines were not shown" in errors.getvalue()
    assert "two" in errors.getvalue()


def test_every_kind_of_event_has_a_line() -> None:
    assert set(DATA_OF.values()) == set(DATA)
    data = SecurityData(what="PROOF_INVALID", source=None, count=3)

    assert "PROOF_INVALID x3" in line_of(event(EventType.SECURITY_EVENT, data))


def test_the_status_tells_the_session_and_every_candidate() -> None:
    text = describe(STATUS)

    assert text.split("\n")[0] == "laptop: ATTACHED for 1 min 5 s, through udp/wifi/gw#1"
    assert "3, the last 12 s ago: udp/lte/gw#2 -> udp/wifi/gw#1" in text
    assert "*  udp/wifi/gw#1  1.2 ms  0.1 ms  0.0 %    50.0 %    1452 B  1.0 KiB  0 B" in text
    assert "!  udp/lte/gw#2   -       -       -        -         -       0 B      0 B" in text


def test_a_status_never_hides_that_delivery_is_unproven() -> None:
    late = msgspec.structs.replace(STATUS, state="VOLATILE", late_ms=80, in_state_ms=80)

    first = describe(late).split("\n")[0]

    assert first.startswith("laptop: VOLATILE for 80 ms")
    assert first.endswith(": no proof of delivery for 80 ms, last told ATTACHED")


def test_a_status_without_a_session_is_told_as_well() -> None:
    bare = msgspec.structs.replace(
        STATUS, session_id=None, transport=None, last_jump=None, candidates=(), addresses=()
    )

    assert "none yet" in describe(bare)


def test_a_session_without_a_binding_shows_a_dash() -> None:
    line = SessionLine(
        session_id="abcdef0123456789",
        client="laptop",
        state="RECOVERING",
        version=4,
        epoch=2,
        transport=None,
        confirmed=False,
        addresses=("10.77.0.2",),
        in_state_ms=250,
        age_ms=3_600_000,
        ends_in_ms=None,
        jumps_last_minute=0,
    )

    assert session_row(line) == (
        "laptop",
        "abcdef01",
        "RECOVERING",
        "250 ms",
        "4",
        "-",
        "10.77.0.2",
        "1 h",
    )


def test_a_doubt_is_told_where_a_person_looks() -> None:
    text = describe(msgspec.structs.replace(STATUS, doubt="nobody answers"))

    assert "  notice    nobody answers" in text.split("\n")


STATUS = ClientStatus(
    name="laptop",
    session_id="abcdef0123456789",
    state="ATTACHED",
    acknowledged="ATTACHED",
    late_ms=0,
    version=9,
    epoch=4,
    transport="udp/wifi/gw#1",
    confirmed=True,
    in_state_ms=65_000,
    interface="jvpn0",
    addresses=("10.77.0.2",),
    routes=("10.77.0.0/24",),
    ends_in_ms=86_000_000,
    jumps=3,
    last_jump=LastJump(
        reason="REATTACH_SUCCESS",
        cause="LINK_DOWN",
        transport_before="udp/lte/gw#2",
        transport_after="udp/wifi/gw#1",
        version=9,
        epoch=4,
        ago_ms=12_000,
    ),
    candidates=(
        CandidateLine(
            transport="udp/wifi/gw#1",
            active=True,
            answering=True,
            srtt_us=1200,
            jitter_us=100,
            loss_in=0.0,
            loss_out=0.5,
            bytes_in=1024,
            bytes_out=0,
            packet_size=1452,
        ),
        CandidateLine(
            transport="udp/lte/gw#2",
            active=False,
            answering=False,
            srtt_us=None,
            jitter_us=None,
            loss_in=None,
            loss_out=None,
            bytes_in=0,
            bytes_out=0,
            packet_size=None,
        ),
    ),
    counters={},
    client_version="0.1.0",
    pid=1,
    running_ms=1,
)


class Closed(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def write_what_waits(shown: Terminal) -> None:
    writer = threading.Thread(target=shown.write, daemon=True)
    writer.start()
    shown.finish()
    writer.join(5)
    assert not writer.is_alive()


def switch(
    *,
    cause: Reason = Reason.HEARTBEAT_TIMEOUT,
    reason: Reason = Reason.REATTACH_SUCCESS,
    **cost: int,
) -> Event:
    handover = Handover(attempt=1, cause=cause, left=WIFI, **cost)
    data = SwitchData(
        input="ReattachVerified",
        state_before=State.RECOVERING,
        state_after=State.ATTACHED,
        epoch_before=1,
        transport_before=None,
        transport_after=LTE,
        owner=1,
        ownership_epoch=1,
        table="",
        handover=handover,
    )
    return event(EventType.TRANSPORT_SWITCH, data, reason)


def event(kind: EventType, data: object, reason: Reason = Reason.REATTACH_SUCCESS) -> Event:
    return Event(
        event_id="",
        ts_ms=1_700_000_000_123,
        event_type=kind,
        severity=Severity.INFO,
        node_id="1",
        node_seq=1,
        session_id="abcdef0123456789",
        state_version=5,
        binding_epoch=2,
        reason_code=reason,
        policy_version=None,
        data=data,
        prev_hash="",
        hash="",
    )
