"""Each fault that a session must outlive, on its own; how fast is measured by the demo."""

import random
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from jumping_vpn.cli.failures import ExitCode
from jumping_vpn.client.doubt import UNANSWERED_AFTER
from jumping_vpn.lab import topology
from jumping_vpn.lab.account import Observers
from jumping_vpn.lab.faults import FAULTS, Fault, gateway_kill
from jumping_vpn.lab.namespaces import Lab, LabRefused
from jumping_vpn.lab.product import JVPN, EventTail, wait_for
from jumping_vpn.lab.stage import Stage, prepare
from jumping_vpn.lab.tap import Tap
from support.watching import (
    EVENT_SECONDS_MAX,
    Echoes,
    add_to,
    attached,
    only_session,
    settled_session,
)

KILLS = 10
WITHOUT_COOLDOWN = "\n[policy]\nswitch_cooldown = 0\nmax_switches_per_minute = {}\n"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_session_outlives_a_fault(stage: Stage, fault: Fault) -> None:
    before = attached(stage.client, answering=2)
    echoes = Echoes.start(stage)

    injected = fault.inject(stage)
    echoes.wait_flowing()
    injected.heal()

    after = attached(stage.client, answering=2)
    window = echoes.settled()
    assert after.session_id == before.session_id
    assert after.version > before.version
    assert window.duplicated == 0
    if fault.lossless:
        assert window.lost <= counted_lost(stage)


def test_the_events_of_a_killed_gateway_count_every_packet_that_the_client_lost(
    stage: Stage, work: Path
) -> None:
    attached(stage.client, answering=2)
    observers = Observers(
        client=Tap.start(stage.topology.client, topology.LAN_SERVER, work / "client.tap"),
        gateway=Tap.start(stage.topology.gateway, topology.LAN_SERVER, work / "gateway.tap"),
    )
    echoes = Echoes.start(stage)
    since_ns = time.monotonic_ns()

    gateway_kill(stage)
    attached(stage.client, answering=2)
    window, end_ns = echoes.settled_until()

    account = observers.account(
        handovers(stage), window, start_ns=echoes.since_ns, since_ns=since_ns, end_ns=end_ns
    )
    assert 0 < account.up.seen.lost <= account.up.told.in_doubt
    assert account.duplicated == 0
    assert account.disagreements() == ()


def test_a_client_that_is_killed_goes_on_with_its_session_without_a_handshake(
    stage: Stage,
) -> None:
    before = attached(stage.client, answering=2)
    echoes = Echoes.start(stage)

    stage.client.kill()
    stage.client.start()

    after = attached(stage.client, answering=2)
    echoes.wait_flowing()
    assert after.session_id == before.session_id
    assert births(stage) == 1
    assert echoes.settled().duplicated == 0


def test_a_client_with_an_old_copy_of_its_state_is_refused_and_harms_nothing(
    stage: Stage, work: Path
) -> None:
    attached(stage.client, answering=2)
    shutil.copytree(stage.client.state, work / "old", ignore=shutil.ignore_patterns("*.sock"))
    stage.client.jump()
    before = attached(stage.client, answering=2)
    stage.client.kill()
    shutil.copy(work / "old" / "session.state", stage.client.state / "session.state")

    stage.client.start()
    log = EventTail(stage.gateway.events)

    def is_refused() -> bool:
        return any(event["reason_code"] == "PROOF_INVALID" for event in log.read())

    wait_for("a refusal", is_refused, seconds_max=EVENT_SECONDS_MAX)
    line = only_session(stage.gateway)
    assert (line.session_id, line.epoch) == (before.session_id, before.epoch)
    status = stage.client.status()
    assert status is not None
    assert not status.confirmed

    def is_told() -> bool:
        told = stage.client.status()
        return told is not None and "old copy" in told.doubt

    wait_for("the doubt", is_told, seconds_max=2 * UNANSWERED_AFTER / 1000)
    wait_for(
        "the doubt in the terminal",
        lambda: "old copy" in stage.client.log.read_text(),
        seconds_max=EVENT_SECONDS_MAX,
    )
    asked = subprocess.run(
        (*JVPN, "status", "--state-dir", str(stage.client.state)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == ExitCode.UNANSWERED
    assert "old copy" in asked.stdout
    stage.client.down()
    stage.client.start()

    assert attached(stage.client).session_id != before.session_id


def test_a_gateway_that_is_killed_in_the_middle_of_jumps_keeps_the_session(
    lab: Lab, work: Path
) -> None:
    stage = prepare(lab, work)
    add_to(stage.gateway.directory / "gateway.toml", WITHOUT_COOLDOWN.format(600))
    stage.gateway.start()
    stage.client.start()
    before = attached(stage.client, answering=2)
    echoes = Echoes.start(stage)
    chance = random.Random(2)

    for _ in range(KILLS):
        with jumping(stage):
            time.sleep(chance.uniform(0, 0.25))  # paces: killed at any instant of a jump
            stage.gateway.kill()
            stage.gateway.start()
        echoes.wait_flowing()

    after = attached(stage.client, answering=2)
    assert after.session_id == before.session_id
    assert births(stage) == 1
    assert settled_session(stage.gateway).epoch == after.epoch
    assert echoes.settled().duplicated == 0


def test_both_sides_are_killed_and_the_session_goes_on(stage: Stage) -> None:
    before = attached(stage.client, answering=2)
    echoes = Echoes.start(stage)

    stage.client.kill()
    stage.gateway.kill()
    stage.client.start()
    stage.gateway.start()

    after = attached(stage.client, answering=2)
    echoes.wait_flowing()
    assert after.session_id == before.session_id
    assert births(stage) == 1
    assert echoes.settled().duplicated == 0


def test_a_flood_of_jumps_is_refused_and_the_session_survives(lab: Lab, work: Path) -> None:
    stage = prepare(lab, work)
    add_to(stage.gateway.directory / "gateway.toml", WITHOUT_COOLDOWN.format(12))
    stage.gateway.start()
    stage.client.start()
    before = attached(stage.client, answering=2)
    echoes = Echoes.start(stage)

    with pytest.raises(LabRefused, match="SWITCH_RATE_LIMITED"):
        flood(stage, jumps=13)

    after = attached(stage.client, answering=2)
    window = echoes.settled()
    assert after.session_id == before.session_id
    assert (window.lost, window.duplicated) == (0, 0)


class jumping:  # noqa: N801  a context manager, read as a verb
    """Order jumps as fast as they are done, for as long as the context lasts."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                jump_away(self._stage)
            except LabRefused:
                self._over.wait(0.02)


def flood(stage: Stage, *, jumps: int) -> None:
    for _ in range(jumps):
        jump_away(stage)


def jump_away(stage: Stage) -> None:
    """Jump to the candidate that does not carry the session."""
    status = stage.client.status()
    lines = status.candidates if status is not None else ()
    stage.client.jump(next((line.transport for line in lines if not line.active), ""))


def births(stage: Stage) -> int:
    """Return how many sessions the gateway ever made."""
    events = EventTail(stage.gateway.events).read()
    return sum(event["event_type"] == "SESSION_CREATED" for event in events)


def counted_lost(stage: Stage) -> int:
    """Return what the product says was given up or is in doubt."""
    names = ("given_up_up", "given_up_down", "in_doubt_up", "in_doubt_down")
    return sum(int(told[name]) for told in handovers(stage) for name in names)


def handovers(stage: Stage) -> list[dict[str, Any]]:
    """Return what the gateway told about each jump that it granted."""
    events = EventTail(stage.gateway.events).read()
    told = (event["data"].get("handover") for event in events)
    return [handover for handover in told if handover]
