"""A path on which segmentation lies: trains vanish, single packets pass; the session goes on."""

from dataclasses import replace
from pathlib import Path

import pytest

from jumping_vpn.lab import topology
from jumping_vpn.lab.flood import Datagrams
from jumping_vpn.lab.namespaces import Lab
from jumping_vpn.lab.probe import Download
from jumping_vpn.lab.product import EventTail, wait_for
from jumping_vpn.lab.stage import Stage, open_stage
from jumping_vpn.lab.topology import CABLE, WIFI
from support.watching import EVENT_SECONDS_MAX, Echoes, attached

PLANS = (replace(WIFI, offloads=True), replace(CABLE, offloads=True))
EATER = """
table inet eater {
  chain trains {
    type filter hook prerouting priority -400;
    meta length > 1500 counter drop
  }
}
"""
"""No packet of the lab is longer than 1500 bytes: what is longer is a train, yet to be cut."""
DOWNLOAD = 12_000_000
RATE = 3_000_000
DOWNLOAD_SECONDS_MAX = 60.0
PORT = 9_000
MBIT = 40.0
NARROW = 1_280
ENOUGH = 5_000


@pytest.fixture
def stage(lab: Lab, work: Path) -> Stage:
    return open_stage(lab, work, plans=PLANS)


def test_trains_that_a_path_eats_are_given_up_and_the_session_goes_on(stage: Stage) -> None:
    before = attached(stage.client, answering=2)
    for path in stage.topology.paths:
        path.router.nft(EATER)
    echoes = Echoes.start(stage)
    upload = start_upload(stage)
    download = Download.start(
        stage.topology.client,
        stage.topology.server,
        topology.LAN_SERVER,
        size=DOWNLOAD,
        rate=RATE,
    )

    wait_for(
        "both ends to give trains up",
        lambda: reasons(stage.client.events) and reasons(stage.gateway.events),
        seconds_max=EVENT_SECONDS_MAX,
    )
    wait_for("the whole download", download.is_correct, seconds_max=DOWNLOAD_SECONDS_MAX)

    assert reasons(stage.client.events) == {"TRAINS_VANISHED"}
    assert reasons(stage.gateway.events) == {"TRAINS_VANISHED"}
    upload.stop()
    assert upload.count().duplicated == 0
    assert echoes.settled().duplicated == 0
    after = attached(stage.client, answering=2)
    assert after.session_id == before.session_id


def test_a_link_that_takes_smaller_packets_under_way_loses_nothing(stage: Stage) -> None:
    before = attached(stage.client, answering=2)
    upload = start_upload(stage)
    wait_for("datagrams", lambda: upload.count().received > 0, seconds_max=EVENT_SECONDS_MAX)

    for path in stage.topology.paths:
        path.client.ip(f"link set {path.plan.interface} mtu {NARROW}")
    already = upload.count().received
    wait_for(
        "datagrams through the narrow link",
        lambda: upload.count().received > already + ENOUGH,
        seconds_max=EVENT_SECONDS_MAX,
    )

    assert_whole(upload)
    assert attached(stage.client).session_id == before.session_id


def start_upload(stage: Stage) -> Datagrams:
    return Datagrams.start(
        stage.topology.client, stage.topology.server, topology.LAN_SERVER, port=PORT, mbit=MBIT
    )


def assert_whole(upload: Datagrams) -> None:
    """Every datagram that was sent has arrived once."""
    sent = upload.stop()
    wait_for(
        "every datagram",
        lambda: upload.count().received >= sent,
        seconds_max=EVENT_SECONDS_MAX,
    )
    assert (upload.count().missing, upload.count().duplicated) == ((), 0)


def reasons(log: Path) -> set[str]:
    """Return why segmentation was given up, as this log has it."""
    given_up = (
        each for each in EventTail(log).read() if each["event_type"] == "SEGMENTATION_GIVEN_UP"
    )
    return {each["reason_code"] for each in given_up}
