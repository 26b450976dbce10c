"""Every way of ending puts the network back: addresses, routes, rules, packet filter, sysctls."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from jumping_vpn.lab.namespaces import Lab, Namespace
from jumping_vpn.lab.product import wait_for
from jumping_vpn.lab.stage import Stage, prepare
from support.watching import EVENT_SECONDS_MAX, attached

RUN = Path("/run/jumping-vpn")
# What the kernel itself changes: lifetimes, counters, and who answered on a cable.
MOVING = re.compile(r"expires \d+sec|(bytes|packets) \d+")
VIEWS = (
    "ip rule show",
    "ip -6 rule show",
    "ip route show table all",
    "ip -6 route show table all",
    "ip -o addr show",
    "nft list ruleset",
    "sysctl -a -r ^net[.](ipv4[.](ip_forward|conf)|ipv6[.]conf)",
)


@pytest.fixture
def stage(lab: Lab, work: Path) -> Stage:
    """Everything prepared, and nothing started: this is how the network was."""
    stage = prepare(lab, work)
    for host in (stage.topology.client, stage.topology.gateway):
        wait_for("addresses", lambda host=host: not tentative(host), seconds_max=EVENT_SECONDS_MAX)
    return stage


def end_with_down(stage: Stage) -> None:
    assert stage.client.down() == 0


def end_with_ctrl_c(stage: Stage) -> None:
    assert stage.client.stop() == 0


def end_killed_then_started_and_stopped(stage: Stage) -> None:
    stage.client.kill()
    stage.client.start()
    attached(stage.client)
    assert stage.client.stop() == 0


@pytest.mark.parametrize(
    "end", [end_with_down, end_with_ctrl_c, end_killed_then_started_and_stopped]
)
def test_a_client_leaves_its_machine_as_it_was(
    stage: Stage, work: Path, end: Callable[[Stage], None]
) -> None:
    before = look(stage.topology.client)
    stage.gateway.start()
    stage.client.start()
    attached(stage.client, answering=2)
    assert look(stage.topology.client) != before
    assert len(announcements(work)) == 2

    end(stage)

    assert look(stage.topology.client) == before
    stage.gateway.stop()
    assert announcements(work) == set()


@pytest.mark.parametrize("killed", [False, True])
def test_a_gateway_leaves_its_machine_as_it_was(stage: Stage, work: Path, *, killed: bool) -> None:
    before = look(stage.topology.gateway)
    stage.gateway.start()
    stage.client.start()
    attached(stage.client)
    assert look(stage.topology.gateway) != before
    if killed:
        stage.gateway.kill()
        stage.gateway.start()
        stage.gateway.wait_serving(seconds_max=20)

    assert stage.gateway.stop() == 0

    assert look(stage.topology.gateway) == before
    stage.client.stop()
    assert announcements(work) == set()


def test_a_session_that_was_ended_is_gone_on_both_sides(stage: Stage) -> None:
    stage.gateway.start()
    stage.client.start()
    first = attached(stage.client)

    stage.client.down()

    assert stage.gateway.sessions() == ()
    stage.client.start()
    assert attached(stage.client).session_id != first.session_id


def tentative(namespace: Namespace) -> str:
    """Return the addresses that the kernel still asks about on their link."""
    return namespace.run("ip", "-6", "addr", "show", "tentative")


def look(namespace: Namespace) -> list[str]:
    """Return everything about a host's network that the product could have changed."""
    lines = [line for view in VIEWS for line in namespace.run(*view.split()).splitlines()]
    return sorted({MOVING.sub("", line).strip() for line in lines})


def announcements(work: Path) -> set[Path]:
    """Return the control sockets of this test's processes that are still announced."""
    return {path for path in RUN.glob("*.sock") if work in path.readlink().parents}
