"""What the hand-written pages say about commands, targets and files is true."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from jumping_vpn.cli.main import jvpn

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("docs/*/*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def calls(page: Path) -> list[str]:
    """Return the lines of shell blocks that call `jvpn`."""
    blocks = [text for kind, text in FENCE.findall(page.read_text()) if kind in {"sh", "bash"}]
    return [line for text in blocks for line in text.splitlines() if line.startswith("jvpn ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path):
    local = [target for target, _ in LINK.findall(page.read_text()) if "://" not in target]

    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_target_that_is_named_exists(page: Path):
    named = set(re.findall(r"(?:`|^|&& )make ([a-z]+)", page.read_text(), re.MULTILINE))

    assert named <= TARGETS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_measurement_that_is_named_exists(page: Path):
    named = set(re.findall(r"make bench NAME=(\w+)", page.read_text()))

    assert named <= {path.stem for path in (ROOT / "bench").glob("*.py")}


@pytest.mark.parametrize("line", sorted({line for page in PAGES for line in calls(page)}))
def test_every_command_that_is_shown_is_one_that_we_have(line: str):
    arguments = shlex.split(line, comments=True)[1:]

    command, rest = resolve(arguments)

    known = {option for each in command.params for option in each.opts}
    assert {each for each in rest if each.startswith("--")} <= known | {"--help"}


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_has_its_four_parts_and_is_listed(page: Path):
    text = page.read_text()

    title, *parts = re.findall(r"^##? (.*)$", text, re.MULTILINE)

    assert title.startswith(f"{int(page.name[:4])}. ")
    assert parts == ["Context", "Decision", "Consequence", "What would change our mind"]
    assert f"[{title}](decisions/{page.name})" in (ROOT / "docs" / "README.md").read_text()


def test_no_two_decisions_have_one_number():
    numbers = [page.name[:4] for page in DECISIONS]

    assert len(numbers) == len(set(numbers))


@pytest.mark.native
def test_the_gateway_of_the_readme_comes_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        line for line in calls(ROOT / "README.md") if " init " in line or " add-client " in line
    ]

    results = [
        CliRunner().invoke(jvpn, shlex.split(line.replace("/etc/jumping-vpn", "gw"))[1:])
        for line in lines
    ]

    assert [result.exit_code for result in results] == [0, 0], results[-1].output
    assert (tmp_path / "laptop.toml").stat().st_mode & 0o777 == 0o600


def resolve(arguments: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that the words name, and the words that follow its name."""
    command: click.Command = jvpn
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), arguments[0])
        assert found is not None, arguments[0]
        command, arguments = found, arguments[1:]
    return command, arguments
