"""A tunnel of real processes on real kernels: what goes through it, and what does not."""

from dataclasses import replace
from pathlib import Path

import pytest

from jumping_vpn.lab import topology
from jumping_vpn.lab.namespaces import Lab
from jumping_vpn.lab.product import LabClient, wait_for
from jumping_vpn.lab.stage import ENDPOINT_V6, Stage, open_stage, prepare
from jumping_vpn.lab.topology import CABLE, PHONE, WIFI
from support.watching import (
    EVENT_SECONDS_MAX,
    Echoes,
    attached,
    inner_address,
    only_session,
    reaches,
    replace_in,
)


def test_ipv4_and_ipv6_go_through_the_tunnel_to_the_network_behind_the_gateway(
    stage: Stage,
) -> None:
    session = only_session(stage.gateway)

    assert session.state == "ATTACHED"
    assert session.client == "laptop"
    assert reaches(stage.topology.client, topology.LAN_SERVER)
    assert reaches(stage.topology.client, topology.LAN_SERVER_V6)


def test_a_client_reaches_its_gateway_over_ipv6(lab: Lab, work: Path) -> None:
    stage = open_stage(lab, work, endpoints=(ENDPOINT_V6,))

    status = attached(stage.client)

    assert status.transport is not None
    assert topology.GATEWAY_V6 in status.transport
    assert reaches(stage.topology.client, topology.LAN_SERVER)
    assert reaches(stage.topology.client, topology.LAN_SERVER_V6)


def test_nothing_is_lost_and_nothing_comes_twice_while_nothing_happens(stage: Stage) -> None:
    echoes = Echoes.start(stage)

    echoes.wait_flowing(echoes=400)

    window = echoes.settled()
    assert window.sent >= 400
    assert (window.lost, window.duplicated) == (0, 0)


@pytest.mark.parametrize("isolated", [True, False])
def test_clients_reach_each_other_only_where_that_is_configured(
    lab: Lab, work: Path, *, isolated: bool
) -> None:
    stage = prepare(lab, work, plans=(WIFI,))
    if not isolated:
        config = stage.gateway.directory / "gateway.toml"
        replace_in(config, "isolate_clients = true", "isolate_clients = false")
    host, _ = topology.add_host(lab, stage.topology, PHONE)
    file = stage.gateway.add_client("phone", work / "phone.toml")
    phone = LabClient.make(host, file, work / "phone")
    stage.gateway.start()
    stage.client.start()
    phone.start()
    attached(stage.client)

    status = attached(phone)

    assert reaches(host, topology.LAN_SERVER)
    assert reaches(stage.topology.client, inner_address(status, family=4)) is not isolated
    assert reaches(stage.topology.client, inner_address(status, family=6)) is not isolated
    assert (stage.gateway.counters()["isolated"] > 0) is isolated


def test_an_inner_source_that_is_not_the_clients_own_is_dropped_and_counted(stage: Stage) -> None:
    client, interface = stage.topology.client, attached(stage.client).interface
    client.ip(f"addr add 10.77.0.77/32 dev {interface}")

    assert not reaches(client, topology.LAN_SERVER, source="10.77.0.77")

    assert stage.gateway.counters()["inner_source"] > 0
    assert only_session(stage.gateway).state == "ATTACHED"
    assert reaches(client, topology.LAN_SERVER)


def test_large_packets_go_through_whole(stage: Stage) -> None:
    client = stage.topology.client

    assert reaches(client, topology.LAN_SERVER, size=4000)
    assert reaches(client, topology.LAN_SERVER_V6, size=4000)


def test_a_path_that_appears_later_becomes_a_candidate(lab: Lab, work: Path) -> None:
    stage = open_stage(lab, work, plans=(WIFI, replace(CABLE, metric=200)))
    stage.topology.path("cable").pull()

    def candidates() -> set[str]:
        status = stage.client.status()
        lines = status.candidates if status is not None else ()
        return {line.transport.split("/")[1] for line in lines if line.answering}

    wait_for("one", lambda: candidates() == {"wifi0"}, seconds_max=EVENT_SECONDS_MAX)
    stage.topology.path("cable").plug()
    wait_for("both", lambda: candidates() == {"wifi0", "cable0"}, seconds_max=EVENT_SECONDS_MAX)
