"""A gateway whose endpoint is a name: `jvpn up` asks a real DNS server of the client's network."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jumping_vpn.lab import topology
from jumping_vpn.lab.namespaces import Lab
from jumping_vpn.lab.product import wait_for
from jumping_vpn.lab.stage import Stage, prepare
from support.watching import EVENT_SECONDS_MAX, Echoes, attached

NAME = "vpn.example.test"
SERVER = "203.0.113.254"
NETNS = Path("/etc/netns")


@pytest.fixture
def stage(lab: Lab, work: Path) -> Iterator[Stage]:
    """The gateway is known by its name only, and the client's machine has one name server."""
    stage = prepare(lab, work, endpoints=(f"{NAME}:{topology.GATEWAY_PORT}",))
    settings = NETNS / stage.topology.client.name
    settings.mkdir(parents=True)
    (settings / "resolv.conf").write_text(f"nameserver {SERVER}\noptions timeout:1\n")
    yield stage
    (settings / "resolv.conf").unlink()
    settings.rmdir()
    with contextlib.suppress(OSError):  # others may have theirs there
        NETNS.rmdir()


def test_a_name_is_looked_up_and_each_address_of_it_is_a_candidate(stage: Stage) -> None:
    serve_names(stage, topology.GATEWAY_V4, topology.GATEWAY_V6)
    stage.gateway.start()

    stage.client.start()

    status = attached(stage.client, answering=4)
    assert {endpoint_of(line.transport) for line in status.candidates} == {
        f"{topology.GATEWAY_V4}:{topology.GATEWAY_PORT}",
        f"[{topology.GATEWAY_V6}]:{topology.GATEWAY_PORT}",
    }
    Echoes.start(stage)


def test_a_name_server_that_comes_late_is_waited_for(stage: Stage) -> None:
    stage.gateway.start()
    stage.client.start()
    wait_for("the client", stage.client.status, seconds_max=EVENT_SECONDS_MAX)

    serve_names(stage, topology.GATEWAY_V4)

    attached(stage.client, answering=2)


def test_a_session_outlives_its_name_server(stage: Stage) -> None:
    names = serve_names(stage, topology.GATEWAY_V4)
    stage.gateway.start()
    stage.client.start()
    before = attached(stage.client, answering=2)
    echoes = Echoes.start(stage)

    names.terminate()
    names.wait()
    stage.client.jump()

    after = attached(stage.client, answering=2)
    echoes.wait_flowing()
    assert (after.session_id, after.epoch) == (before.session_id, before.epoch + 1)


def serve_names(stage: Stage, *addresses: str) -> "subprocess.Popen[str]":
    """Run dnsmasq in the internet of the lab: it knows the gateway's name and nothing else."""
    known = [f"--address=/{NAME}/{address}" for address in addresses]
    quiet = ("--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts")
    where = (f"--listen-address={SERVER}", "--bind-interfaces", "--user=root", "--pid-file")
    return stage.topology.internet.start(("dnsmasq", *quiet, *where, *known))


def endpoint_of(transport: str) -> str:
    """Return where a transport leads, of `udp/wifi0/203.0.113.1:4789#3`."""
    return transport.split("/", 2)[2].split("#", maxsplit=1)[0]
