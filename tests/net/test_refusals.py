"""A gateway that cannot serve says why in one sentence, and leaves everything as it was."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jumping_vpn.cli.failures import ExitCode
from jumping_vpn.cli.main import jvpn
from jumping_vpn.service.lock import locked

pytest.importorskip("jumping_vpn._native", reason="needs the built extension")
pytestmark = [pytest.mark.root, pytest.mark.native]

Shell = Callable[[str], str]


@pytest.fixture
def gateway(namespace: Shell, tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "gateway"
    assert call("gateway", "init", str(directory), "--endpoint", "a:4789").exit_code == ExitCode.OK
    before = rules(namespace)
    yield directory
    assert rules(namespace) == before


def test_a_damaged_database_is_named_and_left_as_it_is(gateway: Path) -> None:
    database = gateway / "sessions.db"
    database.write_bytes(b"this is no database" * 500)
    database.chmod(0o600)
    before = database.read_bytes()

    result = call("gateway", "run", str(gateway))

    assert result.exit_code == ExitCode.STORE
    assert f"{database}" in result.stderr
    assert database.read_bytes() == before


def test_a_port_that_is_taken_is_named_with_what_to_do(gateway: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 4789))

        result = call("gateway", "run", str(gateway))

    assert result.exit_code == ExitCode.FAILURE
    assert "port 4789/udp on 0.0.0.0: Address already in use" in result.stderr
    assert "ss -ulpn" in result.stderr


def test_a_gateway_that_runs_already_is_not_started_twice(gateway: Path) -> None:
    with locked(gateway / "lock"):
        result = call("gateway", "run", str(gateway))

    assert result.exit_code == ExitCode.FAILURE
    assert "it is running already" in result.stderr


def test_a_policy_out_of_range_stops_the_start(gateway: Path) -> None:
    with (gateway / "gateway.toml").open("a", encoding="utf-8") as config:
        config.write("\n[policy]\nrecovery_window = 1\n")

    result = call("gateway", "run", str(gateway))

    assert result.exit_code == ExitCode.CONFIGURATION
    assert "policy.recovery_window = 1: out of range, 100 .. 600000" in result.stderr


def call(*arguments: str) -> Result:
    return CliRunner().invoke(jvpn, arguments)


def rules(shell: Shell) -> str:
    return "".join(map(shell, ("ip link", "ip rule", "ip -6 rule", "nft list ruleset")))
