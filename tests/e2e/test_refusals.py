"""What is refused: in one sentence, with an exit code of its own, and without harm."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jumping_vpn.cli.failures import ExitCode
from jumping_vpn.lab import topology
from jumping_vpn.lab.namespaces import Lab
from jumping_vpn.lab.product import JVPN, EventTail, LabClient, LabGateway, wait_for
from jumping_vpn.lab.stage import ENDPOINT, Stage, prepare
from jumping_vpn.lab.topology import PHONE, WIFI
from support.watching import (
    ATTACH_SECONDS_MAX,
    EVENT_SECONDS_MAX,
    Echoes,
    add_to,
    attached,
    only_session,
    replace_in,
)

HOUR_NS = 3600 * 10**9
# The wall clock of the client's process, and of nothing else, is moved by the argument before it.
MISTAKEN_CLOCK = """
import sys, time
offset, true_time_ns = int(sys.argv.pop(1)), time.time_ns
time.time_ns = lambda: true_time_ns() + offset
from jumping_vpn.cli.main import main
main()
"""
# A router that makes every handshake one of version 2; a UDP checksum of zero means unchecked.
VERSION_TWO = """
table inet future {
    chain forward {
        type filter hook forward priority 0;
        udp dport 4789 @th,64,8 1 @th,72,8 set 2 udp checksum set 0
    }
}
"""

LONG_COOLDOWN = "\n[policy]\nswitch_cooldown = 6000\n"


@pytest.fixture
def stage(lab: Lab, work: Path) -> Stage:
    """One path, a gateway and a client, both still to be started."""
    return prepare(lab, work, plans=(WIFI,))


def test_a_gateway_that_is_not_there_is_told_as_unreachable_or_unknown(stage: Stage) -> None:
    code, told = run_client(stage.client)

    assert code == ExitCode.NO_ANSWER
    assert "cannot be reached" in told
    assert "does not know this client or key" in told


def test_a_client_that_the_gateway_does_not_know_is_counted_there(stage: Stage) -> None:
    (stage.gateway.directory / "clients" / "laptop.toml").unlink()
    stage.gateway.start()
    stage.gateway.wait_serving(seconds_max=EVENT_SECONDS_MAX)

    code, told = run_client(stage.client)

    assert code == ExitCode.NO_ANSWER
    assert "add-client" in told
    assert security_events(stage.gateway) == {"unknown_client"}
    assert stage.gateway.sessions() == ()


def test_a_wrong_gateway_key_is_told_and_counted_there(stage: Stage, work: Path) -> None:
    other = LabGateway.make(
        stage.topology.gateway, work / "other", endpoints=(ENDPOINT,), routes=()
    )
    key, wrong = public_key(stage.client.file), public_key(other.add_client("x", work / "x.toml"))
    replace_in(stage.client.file, key, wrong)
    stage.gateway.start()
    stage.gateway.wait_serving(seconds_max=EVENT_SECONDS_MAX)

    code, told = run_client(stage.client)

    assert code == ExitCode.NO_ANSWER
    assert "forged" in told
    assert security_events(stage.gateway) == {"forged"}


def test_a_protocol_version_that_the_gateway_does_not_speak_is_counted(stage: Stage) -> None:
    stage.topology.path("wifi").router.nft(VERSION_TWO)
    stage.gateway.start()
    stage.gateway.wait_serving(seconds_max=EVENT_SECONDS_MAX)

    code, _ = run_client(stage.client)

    assert code == ExitCode.NO_ANSWER
    assert stage.gateway.counters()["unsupported"] > 0
    assert stage.gateway.sessions() == ()


@pytest.mark.parametrize("offset_ns", [HOUR_NS, -HOUR_NS], ids=["ahead", "behind"])
def test_a_client_whose_clock_is_an_hour_off_works(lab: Lab, work: Path, *, offset_ns: int) -> None:
    stage = prepare(lab, work)
    stage.gateway.start()
    stage.client.start((sys.executable, "-c", MISTAKEN_CLOCK, str(offset_ns)))
    before = attached(stage.client, answering=2)
    echoes = Echoes.start(stage)

    stage.client.jump()

    after = attached(stage.client, answering=2)
    window = echoes.settled()
    assert (after.session_id, after.epoch) == (before.session_id, before.epoch + 1)
    assert (window.lost, window.duplicated) == (0, 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "laptop"', "name = laptop", "line"),
        ("node = 1", "node = 70000", "gateway.node"),
        ("node = 1", 'node = 1\nendpoint = "x"', "endpoint"),
        ("203.0.113.1:4789", "203.0.113.1", "endpoints"),
    ],
)
def test_a_malformed_configuration_names_file_and_field(
    stage: Stage, old: str, new: str, said: str
) -> None:
    replace_in(stage.client.file, old, new)

    code, told = run_client(stage.client)

    assert code == ExitCode.CONFIGURATION
    assert str(stage.client.file) in told
    assert said in told


def test_a_policy_out_of_bounds_is_refused_by_field_value_and_range(stage: Stage) -> None:
    add_to(stage.gateway.directory / "gateway.toml", "\n[policy]\ndead_after_misses = 1\n")

    code, told = run_gateway(stage.gateway)

    assert code == ExitCode.CONFIGURATION
    assert "dead_after_misses" in told
    assert "2" in told
    assert "20" in told


def test_a_corrupted_database_is_refused_by_name_and_left_alone(stage: Stage) -> None:
    stage.gateway.start()
    stage.client.start()
    attached(stage.client)
    stage.client.stop()
    stage.gateway.stop()
    database = stage.gateway.directory / "sessions.db"
    content = bytearray(database.read_bytes())
    content[100:2000] = b"\xa5" * 1900
    database.write_bytes(content)
    found = database_files(stage.gateway)

    code, told = run_gateway(stage.gateway)

    assert code == ExitCode.STORE
    assert str(database) in told
    assert found.items() <= database_files(stage.gateway).items()


def test_a_jump_within_the_cooldown_is_refused_and_does_not_happen_later(
    lab: Lab, work: Path
) -> None:
    stage = prepare(lab, work)
    add_to(stage.gateway.directory / "gateway.toml", LONG_COOLDOWN)
    stage.gateway.start()
    stage.client.start()
    attached(stage.client, answering=2)

    done, refused = jvpn_jump(stage.client), jvpn_jump(stage.client)
    before = attached(stage.client)
    wait_for("a jump", lambda: has_jumped(stage.client), seconds_max=EVENT_SECONDS_MAX)

    assert done.returncode == ExitCode.OK
    assert refused.returncode == ExitCode.DENIED
    assert "Nothing was done. Possible again in" in refused.stderr
    assert "COOLDOWN_ACTIVE" in refused.stderr
    assert attached(stage.client).epoch == before.epoch + 1


def test_a_full_disk_refuses_what_is_new_and_keeps_what_is_there(
    small_disk: Path, lab: Lab, work: Path
) -> None:
    stage = prepare(lab, work)
    host, _ = topology.add_host(lab, stage.topology, PHONE)
    phone = LabClient.make(host, stage.gateway.add_client("phone", work / "p.toml"), work / "phone")
    stage.gateway.start()
    stage.client.start()
    before = attached(stage.client, answering=2)
    echoes = Echoes.start(stage)
    ballast = fill(small_disk)

    phone.start()
    jumped = jvpn_jump(stage.client)
    refused = EventTail(phone.events)

    def is_refused() -> bool:
        return any(event["reason_code"] == "STORE_UNAVAILABLE" for event in refused.read())

    assert jumped.returncode == ExitCode.FAILURE
    assert "STORE_UNAVAILABLE" in jumped.stderr
    assert phone.process is not None
    wait_for(
        "the phone to be refused",
        lambda: is_refused() or "STORE_UNAVAILABLE" in phone.log.read_text(encoding="utf-8"),
        seconds_max=EVENT_SECONDS_MAX,
    )
    during = only_session(stage.gateway)
    assert (during.session_id, during.epoch) == (before.session_id, before.epoch)
    window = echoes.settled()
    assert (window.lost, window.duplicated) == (0, 0)

    ballast.unlink()
    wait_for("a jump", lambda: has_jumped(stage.client), seconds_max=EVENT_SECONDS_MAX)
    after = attached(stage.client, answering=2)
    assert after.session_id == before.session_id
    stage.gateway.kill()
    stage.gateway.start()
    assert attached(stage.client, answering=2).session_id == before.session_id
    assert only_session(stage.gateway).epoch >= after.epoch


@pytest.fixture
def small_disk(work: Path) -> Iterator[Path]:
    """A small file system where the gateway's directory will be."""
    directory = work / "gateway"
    directory.mkdir(mode=0o700)
    options = "size=4m,mode=700"
    subprocess.run(("mount", "-t", "tmpfs", "-o", options, "tmpfs", directory), check=True)
    yield directory
    subprocess.run(("umount", "-l", directory), check=True)


def fill(directory: Path) -> Path:
    """Take the space that is left."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return ballast


def jvpn_jump(client: LabClient) -> "subprocess.CompletedProcess[str]":
    """`jvpn jump`, as a person types it."""
    command = (*JVPN, "jump", "--state-dir", str(client.state))
    return subprocess.run(command, capture_output=True, text=True, check=False)


def has_jumped(client: LabClient) -> bool:
    before = client.status()
    try:
        client.jump()
    except Exception:  # noqa: BLE001  the reason is asserted by what never comes
        return False
    after = client.status()
    return before is not None and after is not None and after.epoch > before.epoch


def run_client(client: LabClient) -> tuple[int, str]:
    """Run `jvpn up` to its end; return its exit code and what it printed."""
    client.start()
    assert client.process is not None
    code = client.process.wait(ATTACH_SECONDS_MAX * 2)
    return code, client.log.read_text(encoding="utf-8")


def run_gateway(gateway: LabGateway) -> tuple[int, str]:
    """Run `jvpn gateway run`, which must end by itself."""
    gateway.start()
    assert gateway.process is not None
    code = gateway.process.wait(EVENT_SECONDS_MAX)
    return code, gateway.log.read_text(encoding="utf-8")


def security_events(gateway: LabGateway) -> set[str]:
    """Return what the gateway's log says of strangers, once it says something."""
    log = EventTail(gateway.events)

    def look() -> set[str]:
        log.read()
        return {
            event["data"]["what"] for event in log.seen if event["event_type"] == "SECURITY_EVENT"
        }

    return wait_for("a security event", look, seconds_max=EVENT_SECONDS_MAX)


def public_key(file: Path) -> str:
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(line for line in lines if line.startswith("public_key"))


def database_files(gateway: LabGateway) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in gateway.directory.glob("sessions.db*")}
