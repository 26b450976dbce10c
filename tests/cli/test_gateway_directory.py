"""A gateway's directory and its clients' files: private, never overwritten, read as written."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import jumping_vpn
from jumping_vpn.cli.failures import ExitCode
from jumping_vpn.cli.main import jvpn
from jumping_vpn.client.config import parse_client
from jumping_vpn.gateway.config import load, load_clients

native = pytest.importorskip("jumping_vpn._native", reason="needs the built extension")
pytestmark = pytest.mark.native

SOURCE = Path(jumping_vpn.__file__).parents[1]
ENDPOINT = "vpn.example.org:4789"


@pytest.fixture
def gateway(tmp_path: Path) -> Path:
    directory = tmp_path / "gateway"
    assert call("gateway", "init", str(directory), "--endpoint", ENDPOINT).exit_code == ExitCode.OK
    return directory


def test_a_new_gateway_is_private_and_says_what_comes_next(tmp_path: Path) -> None:
    directory = tmp_path / "gateway"

    result = call("gateway", "init", str(directory), "--endpoint", ENDPOINT)

    assert result.exit_code == ExitCode.OK
    assert f"jvpn gateway run {directory}" in result.output
    assert mode(directory) == mode(directory / "clients") == 0o700
    for name in ("gateway.toml", "gateway.key", "node.key", "cluster.key"):
        assert mode(directory / name) == 0o600


def test_what_was_asked_for_is_what_the_gateway_reads(tmp_path: Path) -> None:
    directory = tmp_path / "gateway"
    options = ["--endpoint", "[2001:db8::1]:7", "--subnet", "10.9.0.0/16", "--port", "7"]

    told = json.loads(
        call("gateway", "init", str(directory), *options, "--route", "0.0.0.0/0", "--json").output
    )

    config = load(directory)
    assert config.endpoints == ("[2001:db8::1]:7",) == tuple(told["endpoints"])
    assert config.network.subnets == ("10.9.0.0/16",) == tuple(told["subnets"])
    assert config.network.pushed_routes == ("10.9.0.0/16", "0.0.0.0/0")
    assert config.port == 7 == told["port"]


def test_a_gateway_is_never_overwritten(gateway: Path) -> None:
    before = (gateway / "gateway.key").read_bytes()

    result = call("gateway", "init", str(gateway), "--endpoint", ENDPOINT)

    assert result.exit_code == ExitCode.FAILURE
    assert "nothing was changed" in result.stderr
    assert (gateway / "gateway.key").read_bytes() == before


def test_keys_without_a_configuration_are_not_overwritten_either(gateway: Path) -> None:
    (gateway / "gateway.toml").unlink()

    result = call("gateway", "init", str(gateway), "--endpoint", ENDPOINT)

    assert result.exit_code == ExitCode.CONFIGURATION
    assert "holds keys already" in result.stderr


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--endpoint", "nowhere", "expected HOST:PORT"),
        ("--subnet", "10.0.0.1/24", "expected a network such as"),
        ("--subnet", "10.0.0.0/31", "expected a subnet of at least four addresses"),
        ("--route", "lan", "expected a network such as"),
        ("--port", "70000", "not in the range"),
    ],
)
def test_an_option_that_is_wrong_makes_nothing(
    tmp_path: Path, option: str, value: str, told: str
) -> None:
    directory = tmp_path / "gateway"

    result = call("gateway", "init", str(directory), "--endpoint", ENDPOINT, option, value)

    assert result.exit_code == ExitCode.USAGE
    assert f"Invalid value for '{option}'" in result.stderr
    assert told in result.stderr
    assert not directory.exists()


def test_a_client_gets_one_private_file_and_the_gateway_its_public_key(
    gateway: Path, tmp_path: Path
) -> None:
    file = tmp_path / "laptop.toml"

    result = call("gateway", "add-client", str(gateway), "laptop", "--output", str(file))

    assert result.exit_code == ExitCode.OK
    assert mode(file) == mode(gateway / "clients" / "laptop.toml") == 0o600
    keys, text = native.Keys.load_client(str(file))
    config = parse_client(text, source=str(file))
    assert load_clients(gateway) == {"laptop": keys.public()}
    assert config.name == "laptop"
    assert config.private_key == ""
    assert config.gateway.endpoints == (ENDPOINT,)
    gateway_keys = native.Keys.load_gateway(str(gateway))
    assert config.gateway.public_key.decoded == gateway_keys.public()


def test_the_file_on_standard_output_is_private_when_the_shell_made_it(
    gateway: Path, tmp_path: Path
) -> None:
    file = tmp_path / "laptop.toml"

    with file.open("wb") as output:
        subprocess.run(
            [sys.executable, "-m", "jumping_vpn", "gateway", "add-client", gateway, "laptop"],
            stdout=output,
            env=os.environ | {"PYTHONPATH": str(SOURCE)},
            check=True,
            timeout=20,
        )

    assert mode(file) == 0o600
    assert native.Keys.load_client(str(file))[0].public() == load_clients(gateway)["laptop"]


def test_a_client_is_added_once(gateway: Path, tmp_path: Path) -> None:
    first = call("gateway", "add-client", str(gateway), "laptop", "--output", str(tmp_path / "a"))
    again = call("gateway", "add-client", str(gateway), "laptop", "--output", str(tmp_path / "b"))

    assert first.exit_code == ExitCode.OK
    assert again.exit_code == ExitCode.FAILURE
    assert "the client laptop is there already; nothing was changed" in again.stderr
    assert not (tmp_path / "b").exists()


def test_a_file_that_is_there_is_not_overwritten(gateway: Path, tmp_path: Path) -> None:
    file = tmp_path / "laptop.toml"
    file.write_text("mine")

    result = call("gateway", "add-client", str(gateway), "laptop", "--output", str(file))

    assert result.exit_code == ExitCode.FAILURE
    assert file.read_text() == "mine"
    assert load_clients(gateway) == {}


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a" * 65])
def test_a_client_needs_a_name_that_is_one(gateway: Path, name: str) -> None:
    result = call("gateway", "add-client", str(gateway), "--", name)

    assert result.exit_code == ExitCode.USAGE


def test_keys_that_others_can_read_are_refused(gateway: Path, tmp_path: Path) -> None:
    (gateway / "gateway.key").chmod(0o644)

    result = call("gateway", "add-client", str(gateway), "laptop", "--output", str(tmp_path / "a"))

    assert result.exit_code == ExitCode.CONFIGURATION
    assert "gateway.key" in result.stderr
    assert "chmod 600" in result.stderr


def test_keys_that_are_missing_are_named(gateway: Path, tmp_path: Path) -> None:
    (gateway / "node.key").unlink()

    result = call("gateway", "add-client", str(gateway), "laptop", "--output", str(tmp_path / "a"))

    assert result.exit_code == ExitCode.CONFIGURATION
    assert "node.key: no such file" in result.stderr


def call(*arguments: str) -> Result:
    return CliRunner().invoke(jvpn, arguments)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
