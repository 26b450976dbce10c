"""The command line: every command helps with examples, and every failure has its exit code."""

import errno
import importlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import jumping_vpn
from jumping_vpn.cli import failures
from jumping_vpn.cli.failures import CODES, ExitCode, Failure, explain
from jumping_vpn.cli.main import jvpn
from jumping_vpn.cli.text import duration, size, table
from jumping_vpn.cli.up import CODES as FINISH_CODES
from jumping_vpn.cli.up import failure_of, is_wanted
from jumping_vpn.core.ready import Finish, Outcome
from jumping_vpn.service.lock import AlreadyRunning
from jumping_vpn.system.settings import ConfigError


def walk(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from walk(below, f"{path} {name}")


COMMANDS = dict(walk(jvpn, "jvpn"))


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_explains_itself_with_an_example(path: str) -> None:
    result = CliRunner().invoke(jvpn, [*path.split()[1:], "--help"])

    assert result.exit_code == ExitCode.OK
    assert f"Usage: jvpn{path.removeprefix('jvpn')}" in result.output
    assert f"Examples:\n    {path} " in result.output or f"  {path}\n" in result.output


@pytest.mark.parametrize("path", COMMANDS)
def test_every_example_is_understood_by_its_command(path: str) -> None:
    command = COMMANDS[path]
    lines = [line.strip() for line in (command.epilog or "").split("\n")[2:]]
    calls = [
        line
        for line in lines
        if line.startswith(f"{path} ") and not isinstance(command, click.Group)
    ]

    for call in calls:
        words = shlex.split(call.split("|")[0].split(">")[0])[len(path.split()) :]
        command.make_context(path, words)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_list_says_of_a_command_what_the_command_says(path: str) -> None:
    command = COMMANDS[path]
    if not isinstance(command, click.Group):
        return

    for name, entry in command.entries.items():  # type: ignore[attr-defined]
        assert entry.line.endswith(".")
        assert COMMANDS[f"{path} {name}"].callback is not None


def test_help_loads_no_command() -> None:
    script = (
        "import sys\n"
        "from jumping_vpn.cli.main import jvpn\n"
        "jvpn(['--help'], standalone_mode=False)\n"
        "mine = sorted(name for name in sys.modules if name.startswith('jumping_vpn.'))\n"
        "print(*mine, sep='\\n', file=sys.stderr)"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(Path(jumping_vpn.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stderr

    assert loaded.split() == [
        "jumping_vpn.cli",
        "jumping_vpn.cli.failures",
        "jumping_vpn.cli.lazy",
        "jumping_vpn.cli.main",
    ]


@pytest.mark.parametrize("name", CODES)
def test_every_failure_with_an_exit_code_exists(name: str) -> None:
    module, _, kind = name.rpartition(".")

    assert issubclass(getattr(importlib.import_module(module), kind), Exception)


def test_a_failure_is_one_sentence_with_its_exit_code(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)

    result = CliRunner().invoke(jvpn, ["gateway", "add-client", str(tmp_path), "laptop"])

    assert result.exit_code == ExitCode.CONFIGURATION
    assert result.stderr == f"jvpn: {tmp_path}/gateway.toml: no such file\n"


def test_a_data_plane_that_is_not_built_is_named_with_what_to_run() -> None:
    failure = explain(ModuleNotFoundError(name="jumping_vpn._native"))

    assert failure is not None
    assert "maturin develop" in failure.message


def test_a_second_start_says_that_the_first_is_running() -> None:
    failure = explain(AlreadyRunning("/gw/lock is held by process 7"))

    assert failure is not None
    assert failure.message == "it is running already: /gw/lock is held by process 7"


def test_a_fault_of_the_program_is_not_dressed_up() -> None:
    assert explain(ZeroDivisionError()) is None
    assert explain(ConfigError("gateway.toml: line 1")) is not None


@pytest.mark.parametrize(
    ("number", "code", "told"),
    [
        (errno.EADDRINUSE, ExitCode.FAILURE, "Another process has the port"),
        (errno.EPERM, ExitCode.NEEDS_ROOT, "Root (CAP_NET_ADMIN) is needed"),
        (errno.ENOENT, ExitCode.FAILURE, "No such file"),
    ],
)
def test_what_the_system_refuses_is_told_with_what_to_do(
    number: int, code: ExitCode, told: str
) -> None:
    failure = explain(OSError(number, "No such file"))

    assert failure is not None
    assert failure.exit_code == code
    assert told in failure.message


@pytest.mark.parametrize("command", [["up", "laptop.toml"], ["gateway", "run", "gw"]])
def test_without_root_one_sentence_says_so(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "can_change_network", lambda: False)

    result = CliRunner().invoke(jvpn, command)

    assert result.exit_code == ExitCode.NEEDS_ROOT
    assert f"`jvpn {' '.join(command)}` needs root (CAP_NET_ADMIN)" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["status", "jump", "down"])
def test_a_client_that_does_not_run_cannot_be_asked(command: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(jvpn, [command, "--state-dir", str(tmp_path)])

    assert result.exit_code == ExitCode.NOT_RUNNING
    assert "nothing answers at" in result.stderr


def test_a_gateway_that_does_not_run_cannot_be_asked(tmp_path: Path) -> None:
    for command in (["sessions"], ["gateway", "reload"]):
        result = CliRunner().invoke(jvpn, [*command, str(tmp_path)])

        assert result.exit_code == ExitCode.NOT_RUNNING


def test_an_unknown_command_is_a_fault_of_usage() -> None:
    assert CliRunner().invoke(jvpn, ["fly"]).exit_code == ExitCode.USAGE


def test_silence_is_told_with_both_causes_and_how_to_tell_them_apart() -> None:
    failure = failure_of(Finish(outcome=Outcome.UNREACHABLE_OR_UNKNOWN))

    assert failure.exit_code == ExitCode.NO_ANSWER
    assert "cannot be reached" in failure.message
    assert "does not know this client or key" in failure.message
    assert "SECURITY_EVENT (unknown_client" in failure.message


def test_an_end_that_was_ordered_here_is_no_failure() -> None:
    assert is_wanted(Finish(outcome=Outcome.TERMINATED, detail="CLIENT_REQUEST"))
    assert not is_wanted(Finish(outcome=Outcome.TERMINATED, detail="OPERATOR_REQUEST"))
    assert not is_wanted(Finish(outcome=Outcome.REFUSED, detail="CLIENT_REQUEST"))


def test_every_way_to_end_has_an_exit_code() -> None:
    assert set(FINISH_CODES) == set(Outcome)
    assert failure_of(Finish(outcome=Outcome.TERMINATED, detail="TTL_SESSION_EXPIRED")).message == (
        "the session is over (TTL_SESSION_EXPIRED)"
    )


def test_the_doctor_looks_at_every_thing_and_says_what_to_run() -> None:
    result = CliRunner().invoke(jvpn, ["doctor"])

    assert result.exit_code in {ExitCode.OK, ExitCode.FAILURE}
    for what in ("Python 3.11", "data plane", "kernel", "TUN device", "IPv6", "`ip`", "`nft`"):
        assert what in result.output
    for line in result.output.split("\n"):
        assert not line.startswith("missing") or "->" in result.output


def test_the_version_is_that_of_the_package() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    version = CliRunner().invoke(jvpn, ["version"]).output.split()[1]

    assert f'version = "{version}"' in project


@pytest.mark.parametrize(
    ("milliseconds", "told"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1500, "1 s"),
        (61_000, "1 min 1 s"),
        (3_600_000, "1 h"),
        (90_061_000, "1 d 1 h"),
    ],
)
def test_durations_are_told_in_their_two_largest_units(milliseconds: int, told: str) -> None:
    assert duration(milliseconds) == told


def test_sizes_and_tables_are_aligned_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1024, 5 << 20)] == ["0 B", "1023 B", "1.0 KiB", "5.0 MiB"]
    assert table((("A", "BB", "C"), ("aaa", "b", "c"))) == "A    BB  C\naaa  b   c"


def test_a_failure_shows_itself_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Failure(ExitCode.STORE, "sessions.db is corrupted").show()

    assert capsys.readouterr().err == "jvpn: sessions.db is corrupted\n"
