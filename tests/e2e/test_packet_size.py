"""A path that begins to eat large packets, silently: nothing that flows inside may hang."""

from dataclasses import replace

from jumping_vpn.client.status import CandidateLine
from jumping_vpn.lab import topology
from jumping_vpn.lab.probe import Download
from jumping_vpn.lab.product import EventTail, wait_for
from jumping_vpn.lab.stage import Stage
from support.watching import EVENT_SECONDS_MAX, Echoes, attached, reaches

HOLE = 1_300
"""The largest IP packet that passes."""
UDP_HEADERS = 28
WHOLE = 1_452
PING_OF_1400 = 1_372
DOWNLOAD = 12_000_000
RATE = 3_000_000
DOWNLOAD_SECONDS_MAX = 60.0


def test_connections_go_on_through_a_path_that_eats_large_packets(stage: Stage) -> None:
    before = attached(stage.client, answering=2)
    wait_for(
        "the size of both paths",
        lambda: sizes(stage) == {WHOLE},
        seconds_max=EVENT_SECONDS_MAX,
    )
    echoes = Echoes.start(stage)
    download = Download.start(
        stage.topology.client,
        stage.topology.server,
        topology.LAN_SERVER,
        size=DOWNLOAD,
        rate=RATE,
    )
    wait_for("the download", lambda: download.received > 0, seconds_max=EVENT_SECONDS_MAX)

    for path in stage.topology.paths:
        settings = path.link.settings
        narrow = (replace(lane, packet_max=HOLE) for lane in (settings.up, settings.down))
        path.link.configure(replace(settings, up=next(narrow), down=next(narrow)))

    assert reaches(stage.topology.client, topology.LAN_SERVER, size=PING_OF_1400)
    wait_for("the whole download", download.is_correct, seconds_max=DOWNLOAD_SECONDS_MAX)
    assert download.connections() == 1
    after = attached(stage.client, answering=2)
    assert after.session_id == before.session_id
    active = next(line for line in after.candidates if line.active)
    assert active.packet_size is not None
    assert active.packet_size <= HOLE - UDP_HEADERS
    window = echoes.settled()
    assert (window.lost, window.duplicated) == (0, 0)
    assert "PATH_MTU_FAILED" in reasons(stage)


def sizes(stage: Stage) -> set[int | None]:
    status = stage.client.status()
    lines: tuple[CandidateLine, ...] = () if status is None else status.candidates
    return {line.packet_size for line in lines}


def reasons(stage: Stage) -> set[str]:
    """Return why packets changed their size, as the client's log has it."""
    events = EventTail(stage.client.events).read()
    changed = (each for each in events if each["event_type"] == "PACKET_SIZE_CHANGED")
    return {each["reason_code"] for each in changed}
