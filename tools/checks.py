"""Run the checks of `make check` or `make test`: two lanes side by side, then what needs quiet.

A check that fails prints what it found, why the rule exists and the command that mends it. The
others still run: one call tells everything that is wrong. The last lines repeat the summaries of
the test runners.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent
PYTHON: Final = str(BIN / "python")
SUMMARY: Final = re.compile(r"^test result: .*|^=* ?\d+ (passed|failed|skipped|error).* in .*s.*")
COUNTED: Final = re.compile(r"\b[1-9]\d* (passed|failed|error)")


class Lane(StrEnum):
    """Where a check runs: two lanes go side by side, then the last one has the machine alone."""

    PYTHON = "python"
    RUST = "rust"
    ALONE = "alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule: the command that proves it, why it exists, and what mends it."""

    name: str
    lane: Lane
    command: tuple[str, ...]
    why: str
    mend: str
    needs_root: bool = False
    seconds_max: int = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a check said; `skipped` names what was missing."""

    check: Check
    passed: bool
    seconds: float = 0.0
    output: str = ""
    skipped: str = ""


def tool(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the call of a program of the environment."""
    return (str(BIN / name), *arguments)


PYTEST: Final = tool("pytest", "--quiet", "--no-header", "--color=no")

CHECK: Final = (
    Check(
        name="python format",
        lane=Lane.PYTHON,
        command=tool("ruff", "format", "--check", "--quiet", "--diff", "."),
        why="One layout, so that a change shows what it changes.",
        mend=".venv/bin/ruff format .",
    ),
    Check(
        name="python lint",
        lane=Lane.PYTHON,
        command=tool("ruff", "check", "--quiet", "."),
        why="Each rule is a fault that was found once; an opt-out carries its reason.",
        mend=".venv/bin/ruff check --fix .  (the rest by hand)",
    ),
    Check(
        name="style",
        lane=Lane.PYTHON,
        command=(PYTHON, "tools/style_ratchet.py"),
        why="Small files and functions stay small, and what is too large only shrinks.",
        mend="cut the file or function; after it shrank: make bless",
    ),
    Check(
        name="generated pages",
        lane=Lane.PYTHON,
        command=(PYTHON, "tools/generate_docs.py", "--check"),
        why="A reference page that is made from the code cannot say anything else than the code.",
        mend="make docs",
    ),
    Check(
        name="boundaries",
        lane=Lane.PYTHON,
        command=tool("lint-imports", "--no-cache"),
        why="The core stays pure and dependencies point inward: that is what makes it testable.",
        mend="move the code to the layer that may know both; pyproject.toml draws the layers",
    ),
    Check(
        name="types",
        lane=Lane.PYTHON,
        command=tool("mypy", "--no-error-summary"),
        why="Closed sets are unions, so the type checker proves that every case is handled.",
        mend="follow the message; Any belongs at the native edge only",
    ),
    Check(
        name="native edge",
        lane=Lane.PYTHON,
        command=tool("stubtest", "jumping_vpn._native", "--mypy-config-file", "pyproject.toml"),
        why="The stub is the contract between the two languages; it must describe the binary.",
        mend="make _native.pyi and crates/jump-py agree",
    ),
    Check(
        name="python tests",
        lane=Lane.PYTHON,
        command=(*PYTEST, "-n", "2", "-m", "not root"),
        why="They tell what the program promises.",
        mend=".venv/bin/pytest --lf  (a transcript that should differ: make bless)",
    ),
    Check(
        name="rust format",
        lane=Lane.RUST,
        command=("cargo", "fmt", "--all", "--check", "--", "--color", "never"),
        why="One layout, so that a change shows what it changes.",
        mend="cargo fmt --all",
    ),
    Check(
        name="rust lint",
        lane=Lane.RUST,
        command=(
            *("cargo", "clippy", "--quiet", "--locked", "--workspace", "--all-targets"),
            *("--", "--deny", "warnings"),
        ),
        why="The workspace's lints keep panics, undocumented items and unsafe code out.",
        mend="cargo clippy --fix --workspace --all-targets  (the rest by hand)",
    ),
    Check(
        name="rust tests",
        lane=Lane.RUST,
        command=("cargo", "test", "--quiet", "--locked", "--workspace"),
        why="They tell what the data plane promises.",
        mend="cargo test -p CRATE NAME",
    ),
)
TEST: Final = (
    *CHECK,
    Check(
        name="exploration",
        lane=Lane.ALONE,
        command=(PYTHON, "-m", "jumping_vpn.sim.explore"),
        why="What a few faults can lead to is searched to the end, over the roles that ship.",
        mend="read the story; where what can happen changed: sim/configurations.py, and say why",
    ),
    Check(
        name="simulation",
        lane=Lane.ALONE,
        command=(PYTHON, "-m", "jumping_vpn.sim.simulate"),
        why="Drivers, roles and engines that ship, under thousands of schedules of faults.",
        mend="make sim SEED=N tells the smallest story that fails; what never happened: landmarks",
    ),
    Check(
        name="rust tests in namespaces",
        lane=Lane.ALONE,
        command=(
            *("cargo", "test", "--quiet", "--locked", "--package", "jump-io"),
            *("--", "--ignored"),
        ),
        why="TUN, sockets and the lab's link element are tried on a kernel, not on a model.",
        mend="cargo test -p jump-io -- --include-ignored NAME",
        needs_root=True,
    ),
    Check(
        name="python tests in namespaces",
        lane=Lane.ALONE,
        command=(*PYTEST, "-m", "root", "--durations=5"),
        why="A session must outlive real faults of real links.",
        mend=".venv/bin/pytest -m root --lf",
        needs_root=True,
        seconds_max=1500,
    ),
)
SETS: Final = {"check": CHECK, "test": TEST}


def run(checks: Sequence[Check], *, is_root: bool) -> list[Outcome]:
    """Run the checks: the lanes side by side, what needs the machine alone afterwards."""
    lanes = [[check for check in checks if check.lane is lane] for lane in Lane]
    *together, alone = lanes
    with ThreadPoolExecutor(max_workers=len(together)) as pool:
        outcomes = [
            outcome
            for lane in pool.map(lambda each: _run_in_order(each, is_root=is_root), together)
            for outcome in lane
        ]
    return outcomes + _run_in_order(alone, is_root=is_root)


def perform(check: Check, *, is_root: bool) -> Outcome:
    """Run one check to its end or its limit; nothing that it started stays behind."""
    if check.needs_root and not is_root:
        return Outcome(check=check, passed=True, skipped="needs root for network namespaces")
    start = time.monotonic()
    with subprocess.Popen(
        check.command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=check.seconds_max)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output = process.communicate()[0] + f"\nstopped after {check.seconds_max} s\n"
    passed = process.returncode == 0
    return Outcome(check=check, passed=passed, seconds=time.monotonic() - start, output=output)


def report(outcome: Outcome) -> str:
    """Return what a person reads about one check: a line, or all of it when it failed."""
    check = outcome.check
    if outcome.skipped:
        return f"  skipped {check.name}: {outcome.skipped}"
    if outcome.passed:
        return f"  {outcome.seconds:6.1f} s  {check.name}"
    return "\n".join(
        (
            f"FAILED    {check.name}: {' '.join(_shown(check.command))}",
            outcome.output.rstrip(),
            f"  why:  {check.why}",
            f"  mend: {check.mend}",
        )
    )


def summaries(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the test runners' own summary lines that counted something, the last check's last."""
    return [
        f"{outcome.check.name}: {line.strip('= ')}"
        for outcome in outcomes
        for line in outcome.output.splitlines()
        if SUMMARY.match(line) and COUNTED.search(line)
    ]


def main(arguments: list[str]) -> int:
    """Run the named set, and say what it found."""
    is_root = os.geteuid() == 0
    outcomes = run(SETS[arguments[0]], is_root=is_root)
    print("\n".join(summaries(outcomes)))
    failed = [outcome.check.name for outcome in outcomes if not outcome.passed]
    skipped = [outcome.check.name for outcome in outcomes if outcome.skipped]
    if skipped:
        print(f"not run, because they need root: {', '.join(skipped)}; run: sudo make test")
    print(f"FAILED: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


def _run_in_order(checks: Sequence[Check], *, is_root: bool) -> list[Outcome]:
    outcomes = []
    for check in checks:
        outcome = perform(check, is_root=is_root)
        with PRINTING:
            print(report(outcome), flush=True)
        outcomes.append(outcome)
    return outcomes


def _shown(command: Sequence[str]) -> Iterable[str]:
    return (each.replace(f"{ROOT}/", "") for each in command)


PRINTING: Final = threading.Lock()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
