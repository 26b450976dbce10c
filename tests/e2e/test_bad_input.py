"""Strangers at the gateway's port, while sessions run."""

import json
import subprocess
import sys
from pathlib import Path

from jumping_vpn.lab import topology
from jumping_vpn.lab.namespaces import Lab, stop
from jumping_vpn.lab.product import LabClient, rss_kib
from jumping_vpn.lab.stage import Stage, prepare
from jumping_vpn.lab.topology import PHONE, WIFI
from support.watching import Echoes, attached, wait_until_quiet

HOSTILE = str(Path(__file__).parents[1] / "support" / "hostile.py")
PACKETS = 24_000
ATTACK_SECONDS_MAX = 60
GROWTH_KIB_MAX = 16 * 1024
# What a stranger's packets must have been counted as; other reasons may appear beside them.
REASONS = (
    "forged",
    "malformed",
    "truncated",
    "unknown_index",
    "unknown_lookup",
    "unknown_type",
    "unsupported",
)


def test_what_strangers_send_disturbs_nothing_and_is_counted(lab: Lab, work: Path) -> None:
    stage = prepare(lab, work, plans=(WIFI,))
    heard = work / "heard"
    listener = stage.topology.internet.start(
        (sys.executable, HOSTILE, "listen", "gateway0", str(heard))
    )
    phone = add_phone(lab, stage, work)
    stage.gateway.start()
    stage.client.start()
    phone.start()
    attached(stage.client)
    attached(phone)
    echoes = Echoes.start(stage)
    echoes.wait_flowing()
    # The first attack warms what grows once; after it, memory must not grow with the packets.
    attack(stage, heard, packets=2_000)
    wait_until_quiet(stage.gateway)
    before, memory = stage.gateway.counters(), rss_kib(stage.gateway.process)
    sessions = {line.session_id: (line.version, line.epoch) for line in stage.gateway.sessions()}

    sent = attack(stage, heard, packets=PACKETS)

    after = wait_until_quiet(stage.gateway)
    stop(listener)
    window = echoes.settled()
    counted = {name: after[name] - before[name] for name in after}
    assert sum(sent.values()) == PACKETS
    assert (window.lost, window.duplicated) == (0, 0)
    assert {
        line.session_id: (line.version, line.epoch) for line in stage.gateway.sessions()
    } == sessions
    assert [name for name in REASONS if not counted[name]] == []
    assert counted["replayed"] + counted["stale"] > 0
    assert rss_kib(stage.gateway.process) - memory < GROWTH_KIB_MAX
    assert stage.gateway.process is not None
    assert stage.gateway.process.poll() is None


def add_phone(lab: Lab, stage: Stage, work: Path) -> LabClient:
    host, _ = topology.add_host(lab, stage.topology, PHONE)
    file = stage.gateway.add_client("phone", work / "phone.toml")
    return LabClient.make(host, file, work / "phone")


def attack(stage: Stage, heard: Path, *, packets: int) -> dict[str, int]:
    """Send this many packets from a stranger's address, and return how many of each kind."""
    process = stage.topology.internet.start(
        (sys.executable, HOSTILE, "attack", topology.GATEWAY_V4, str(heard), str(packets)),
        stdout=subprocess.PIPE,
    )
    told, _ = process.communicate(timeout=ATTACK_SECONDS_MAX)
    sent: dict[str, int] = json.loads(told)
    return sent
