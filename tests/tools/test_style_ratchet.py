"""The style ratchet finds what it is for, and only that."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rust_source
import style_ratchet
from style_ratchet import Fault, Source

Find = Callable[[Source], Iterator[Fault]]
REPEATED = "value = 1\n"


def test_a_file_that_outgrew_its_room_is_named():
    large = source("python/large.py", REPEATED * 401)

    assert style_ratchet.sizes(large) == {"python/large.py": 401}


def test_a_function_that_outgrew_its_room_is_named():
    body = "    value = 1\n" * 70
    large = source("python/a.py", f"def act():\n{body}")

    assert style_ratchet.sizes(large) == {"python/a.py::act": 71}


def test_nothing_joins_the_baseline():
    faults = style_ratchet.too_large({"a.py": 401}, baseline={})

    assert [fault.what for fault in faults] == ["401 lines, more than 400"]


def test_what_is_too_large_may_not_grow():
    faults = style_ratchet.too_large({"a.py": 420}, baseline={"a.py": 410})

    assert [fault.what for fault in faults] == ["420 lines; it was 410 and may shrink"]


def test_no_baseline_allows_more_than_the_largest_file():
    faults = style_ratchet.too_large({"a.py": 601}, baseline={"a.py": 601})

    assert [fault.what for fault in faults] == ["601 lines, more than 600"]


def test_what_shrank_has_to_be_entered():
    assert list(style_ratchet.slack({"a.py": 405}, baseline={"a.py": 410}))
    assert list(style_ratchet.slack({}, baseline={"a.py": 410}))
    assert not list(style_ratchet.slack({"a.py": 410}, baseline={"a.py": 410}))


def test_tightening_never_allows_more():
    found = {"grew.py": 500, "shrank.py": 405, "new.py": 450}
    baseline = {"grew.py": 450, "shrank.py": 410, "gone.py": 420}

    assert style_ratchet.tightened(found, baseline) == {"grew.py": 450, "shrank.py": 405}


@pytest.mark.parametrize(
    ("find", "path", "text"),
    [
        (style_ratchet.left_open, "python/a.py", "x = 1  # TODO: later\n"),
        (style_ratchet.left_open, "crates/a/src/a.rs", "// FIXME later\n"),
        (style_ratchet.history, "python/a.py", '"""Previously a list."""\n'),
        (style_ratchet.waits, "tests/a.py", "time.sleep(0.1)\n"),
        (style_ratchet.waits, "tests/a.py", "await asyncio.sleep(delay)\n"),
        (style_ratchet.waits, "crates/a/tests/a.rs", "thread::sleep(PAUSE);\n"),
        (style_ratchet.mocks, "tests/a.py", "from unittest import mock\n"),
        (style_ratchet.impure, "crates/jump-proto/src/a.rs", "use std::time::Instant;\n"),
        (style_ratchet.impure, "crates/jump-proto/src/a.rs", "let map = HashMap::new();\n"),
    ],
)
def test_a_broken_rule_is_found_with_its_line(find: Find, path: str, text: str):
    (fault,) = find(source(path, text))

    assert fault.where == f"{path}:1"


@pytest.mark.parametrize(
    ("find", "path", "text"),
    [
        (style_ratchet.left_open, "python/a.py", 'text = "TODO"\n'),
        (style_ratchet.history, "python/a.py", 'text = "previously"\n'),
        (style_ratchet.waits, "python/a.py", "time.sleep(0.1)\n"),
        (style_ratchet.waits, "tests/a.py", "await asyncio.sleep(0)\n"),
        (style_ratchet.waits, "tests/a.py", "time.sleep(gap)  # paces: one packet per gap\n"),
        (style_ratchet.waits, "tests/a.py", "while not done():\n    time.sleep(0.01)\n"),
        (style_ratchet.impure, "crates/jump-io/src/a.rs", "use std::time::Instant;\n"),
        (style_ratchet.impure, "crates/jump-proto/src/a.rs", "// as std::time does\n"),
        (
            style_ratchet.impure,
            "crates/jump-proto/src/a.rs",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
        ),
    ],
)
def test_what_only_looks_like_a_fault_is_none(find: Find, path: str, text: str):
    assert not list(find(source(path, text)))


def test_a_module_of_tests_in_a_file_of_its_own_is_a_test(tmp_path: Path):
    crate = tmp_path / "crates" / "a" / "src"
    (crate / "vectors").mkdir(parents=True)
    (crate / "lib.rs").write_text("mod code;\n#[cfg(test)]\nmod vectors;\n")
    (crate / "code.rs").write_text("#[cfg(test)]\nmod trials;\n")
    for name in ("vectors/mod.rs", "vectors/keys.rs", "trials.rs"):
        (crate / name).touch()
    (crate / "code").mkdir()
    (crate / "code" / "trials.rs").touch()

    tests = {each.path.removeprefix("crates/a/src/") for each in sources_of_tests(tmp_path)}

    assert tests == {"vectors/mod.rs", "vectors/keys.rs", "code/trials.rs"}


def test_rust_functions_are_measured_from_their_name_to_their_brace():
    text = 'fn one(\n    a: [u8; 4],\n) {\n    let brace = "}";\n    // }\n}\nfn declared();\n'

    assert list(rust_source.functions(text)) == [("one", 6)]


def test_lifetimes_are_not_letters():
    text = "fn first<'a>(x: &'a str) -> char {\n    '{'\n}\n"

    assert list(rust_source.functions(text)) == [("first", 3)]


def source(path: str, text: str) -> Source:
    return Source(path=path, text=text, is_test="tests" in Path(path).parts)


def sources_of_tests(root: Path) -> list[Source]:
    return [each for each in style_ratchet.sources(root) if each.is_test]
