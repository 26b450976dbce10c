"""The reference pages name every command, exit code and setting."""

import pytest

from docs_pages import command_line
from jumping_vpn.cli.failures import ExitCode
from jumping_vpn.cli.main import jvpn
from jumping_vpn.system.settings import parse


def test_every_command_and_exit_code_is_documented() -> None:
    page = command_line.commands()

    for path, _ in command_line.walk(jvpn, "jvpn"):
        assert f"## {path}\n" in page
    for code in ExitCode:
        assert f"| {code.value} | {code.meaning} |" in page


@pytest.mark.parametrize("shape", [shape for *_, shape in command_line.FILES])
def test_every_setting_is_documented_with_a_sentence(shape: type) -> None:
    for name, _, meaning in command_line.settings(shape):
        assert meaning.endswith("."), name
        assert f"| {name} |" in command_line.configuration()


def test_a_default_that_is_documented_is_one_the_file_accepts() -> None:
    shape = command_line.FILES[0][2]
    lines = ["endpoints = ['a:1']"]
    for name, default, _ in command_line.settings(shape):
        key = name.strip("`")
        if default.startswith("`") and "." not in key:
            lines.append(f"{key} = {default.strip('`')}")

    assert parse("\n".join(lines), shape, source="defaults") == parse(
        lines[0], shape, source="defaults"
    )
