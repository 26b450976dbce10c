"""The runner of the checks tells everything that is wrong, and what mends it."""

import re
import sys
from pathlib import Path

import pytest

import checks
from checks import Check, Lane

PARTS = {"bytecode", "root", "system", "traffic", "null-cipher"}
MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()


def test_a_check_that_fails_says_what_why_and_how_to_mend_it():
    outcome = checks.perform(python("print('line 7 is bad'); exit(1)"), is_root=False)

    assert not outcome.passed
    assert checks.report(outcome).splitlines()[-3:] == [
        "line 7 is bad",
        "  why:  So that it holds.",
        "  mend: make it hold",
    ]


def test_a_check_that_holds_is_one_line():
    outcome = checks.perform(python("print('noise')"), is_root=False)

    assert outcome.passed
    assert re.fullmatch(r" +\d+\.\d s  trial", checks.report(outcome))


def test_the_other_checks_run_when_one_fails():
    ran = checks.run([python("exit(1)"), python("exit(0)")], is_root=False)

    assert [outcome.passed for outcome in ran] == [False, True]


def test_without_root_a_check_that_needs_it_is_skipped_and_says_so():
    outcome = checks.perform(python("exit(1)", needs_root=True), is_root=False)

    assert outcome.passed
    assert checks.report(outcome) == "  skipped trial: needs root for network namespaces"


def test_a_check_that_hangs_is_stopped_with_all_that_it_started():
    outcome = checks.perform(python("import signal; signal.pause()", seconds_max=1), is_root=False)

    assert not outcome.passed
    assert "stopped after 1 s" in outcome.output


@pytest.mark.parametrize(
    "line",
    [
        "12 passed in 3.45s",
        "==== 1 failed, 12 passed, 2 skipped in 61.02s (0:01:01) ====",
        "test result: ok. 9 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
    ],
)
def test_the_summaries_of_the_test_runners_are_repeated_at_the_end(line: str):
    outcome = checks.Outcome(check=python(""), passed=True, output=f"noise\n{line}\n")

    assert checks.summaries([outcome]) == [f"trial: {line.strip('= ')}"]


def test_a_run_that_counted_nothing_is_not_repeated():
    line = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 12 filtered out"
    outcome = checks.Outcome(check=python(""), passed=True, output=f"{line}\n")

    assert checks.summaries([outcome]) == []


def test_what_passes_before_a_change_lands_includes_every_check():
    assert set(checks.CHECK) < set(checks.TEST)


def test_every_target_has_a_line():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)) - PARTS

    assert targets == set(re.findall(r"^([a-z-]+):.*## .*\.$", MAKEFILE, re.MULTILINE))


def python(code: str, *, needs_root: bool = False, seconds_max: int = 30) -> Check:
    return Check(
        name="trial",
        lane=Lane.PYTHON,
        command=(sys.executable, "-c", code),
        why="So that it holds.",
        mend="make it hold",
        needs_root=needs_root,
        seconds_max=seconds_max,
    )
