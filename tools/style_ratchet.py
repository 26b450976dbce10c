"""Check what no other tool does: sizes, words that do not belong, pure Rust, tests that wait.

Sizes are a ratchet. `tools/style_baseline.json` lists what is larger than it should be; an entry
may only shrink, nothing may join the list, and what shrank is entered by `--tighten`. The other
rules have no exceptions.
"""

import ast
import io
import json
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import rust_source

ROOT: Final = Path(__file__).parents[1]
BASELINE: Final = ROOT / "tools" / "style_baseline.json"
FOLDERS: Final = ("python", "crates", "tests", "tools", "bench", "fuzz")
FILE_LINES: Final = 400
FILE_LINES_MAX: Final = 600
FUNCTION_LINES: Final = 70

Sizes = dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file, by its path from the root of the project."""

    path: str
    text: str
    is_test: bool

    @property
    def is_rust(self) -> bool:
        """Say which of the two languages it is."""
        return self.path.endswith(".rs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One place that breaks a rule."""

    where: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule without exceptions."""

    name: str
    why: str
    mend: str
    find: Callable[[Source], Iterator[Fault]]


def sources(root: Path) -> list[Source]:
    """Return every file of ours in either language, in order."""
    files = {
        path: path.read_text()
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in {".py", ".pyi", ".rs"}
    }
    tests = {place for path, text in files.items() for place in _test_places(path, text)}
    return [
        Source(
            path=path.relative_to(root).as_posix(),
            text=text,
            is_test="tests" in path.relative_to(root).parts
            or not tests.isdisjoint((path.with_suffix(""), *path.parents)),
        )
        for path, text in files.items()
    ]


def sizes(source: Source) -> Sizes:
    """Return the lines of the file and of each function that are more than they should be."""
    found = {source.path: source.text.count("\n")} if _lines(source) > FILE_LINES else {}
    for name, lines in functions(source):
        if lines > FUNCTION_LINES:
            key = f"{source.path}::{name}"
            found[key] = max(lines, found.get(key, 0))
    return found


def functions(source: Source) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of lines of every function."""
    if source.is_rust:
        yield from rust_source.functions(source.text)
        return
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def too_large(found: Sizes, baseline: Sizes) -> Iterator[Fault]:
    """Yield what is too large and was not, is larger than it was, or than anything may be."""
    for where, lines in sorted(found.items()):
        limit = FUNCTION_LINES if "::" in where else FILE_LINES
        if where not in baseline:
            yield Fault(where=where, what=f"{lines} lines, more than {limit}")
        elif lines > baseline[where]:
            yield Fault(where=where, what=f"{lines} lines; it was {baseline[where]} and may shrink")
        elif limit == FILE_LINES and lines > FILE_LINES_MAX:
            yield Fault(where=where, what=f"{lines} lines, more than {FILE_LINES_MAX}")


def slack(found: Sizes, baseline: Sizes) -> Iterator[Fault]:
    """Yield the entries of the baseline that allow more than there is."""
    for where, lines in sorted(baseline.items()):
        if found.get(where, 0) < lines:
            yield Fault(
                where=where, what="shrank; enter it: python tools/style_ratchet.py --tighten"
            )


def tightened(found: Sizes, baseline: Sizes) -> Sizes:
    """Return the baseline after everything that shrank; it never grows."""
    return {where: min(found[where], lines) for where, lines in baseline.items() if where in found}


def left_open(source: Source) -> Iterator[Fault]:
    """Find work that was left for later."""
    return _in_comments(source, LEFT_OPEN)


def history(source: Source) -> Iterator[Fault]:
    """Find comments that tell what the code was, not why it is."""
    return _in_comments(source, HISTORY)


def waits(source: Source) -> Iterator[Fault]:
    """Find tests that let time pass.

    A pause in a loop that looks for something is none, nor is one that says what it `paces`.
    """
    if not source.is_test:
        return
    if source.is_rust:
        yield from _in_code(source, THREAD_SLEEP)
        return
    tree, lines = ast.parse(source.text), source.text.splitlines()
    loops = [node for node in ast.walk(tree) if isinstance(node, ast.While)]
    in_loops = {id(each) for loop in loops for each in ast.walk(loop)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or id(node) in in_loops or not _sleeps(node):
            continue
        if "# paces: " not in lines[node.lineno - 1]:
            yield Fault(where=f"{source.path}:{node.lineno}", what=ast.unparse(node))


def mocks(source: Source) -> Iterator[Fault]:
    """Find tests that replace our own code."""
    if not source.is_test or source.is_rust:
        return
    for node in ast.walk(ast.parse(source.text)):
        if isinstance(node, ast.Import | ast.ImportFrom | ast.arg):
            for name in _names(node) & MOCKS:
                yield Fault(where=f"{source.path}:{node.lineno}", what=name)


def impure(source: Source) -> Iterator[Fault]:
    """Find clocks, entropy, the standard library and unordered maps in the pure crate."""
    pure = source.path.startswith("crates/jump-proto/src/") and not source.is_test
    return _in_code(source, IMPURE) if pure else iter(())


LEFT_OPEN: Final = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
HISTORY: Final = re.compile(
    r"\b(previously|formerly|used to be|was renamed|refactored|legacy|temporary hack|"
    r"in the past|in an earlier version|for backwards? compatibility|"
    r"(has been|was) (moved|changed|replaced|removed|added) (from|to|in|by)\b)",
    re.IGNORECASE,
)
THREAD_SLEEP: Final = re.compile(r"\bthread::sleep\(")
MOCKS: Final = {"unittest.mock", "mock", "mocker"}
IMPURE: Final = re.compile(
    r"\bstd::(?!error::Error\b)|\bSystemTime\b|\bInstant::now\b|\bSystemRandom\b|\bOsRng\b|"
    r"\bgetrandom\b|\bthread_rng\b|\bHash(Map|Set)\b"
)
RULES: Final = (
    Rule(
        name="nothing is left open",
        why="A note in the code has no owner and no date.",
        mend="do it, or open an issue",
        find=left_open,
    ),
    Rule(
        name="comments tell no history",
        why="The reader needs the reason of what is there; the log keeps what was.",
        mend="say why it is so, or delete the comment",
        find=history,
    ),
    Rule(
        name="tests do not wait for time to pass",
        why="A test that sleeps is slow on a fast machine and wrong on a slow one.",
        mend="wait for the event, or pass the time in; in real time say `# paces: what for`",
        find=waits,
    ),
    Rule(
        name="tests do not mock our own code",
        why="A mock repeats what its author believes; the real core is pure and needs none.",
        mend="use the code itself, or the memory adapter that ships with it",
        find=mocks,
    ),
    Rule(
        name="the pure crate reads no clock, no entropy and no hash order",
        why="What is passed in can be replayed; what is read cannot.",
        mend="take `now: Instant`, `&mut dyn Entropy`, or a BTreeMap",
        find=impure,
    ),
)


def main(arguments: list[str]) -> int:
    """Check every file; with `--tighten` enter what shrank, with `--figures` print the sizes."""
    files = sources(ROOT)
    if "--figures" in arguments:
        print(figures(files))
        return 0
    found = {where: lines for source in files for where, lines in sizes(source).items()}
    baseline: Sizes = json.loads(BASELINE.read_text())
    if "--tighten" in arguments:
        baseline = tightened(found, baseline)
        BASELINE.write_text(json.dumps(baseline, indent=2, sort_keys=True) + "\n")
    faults = [*too_large(found, baseline), *slack(found, baseline)]
    _print(
        "sizes", faults, why="What fits a page is read; what does not is skimmed.", mend="cut it"
    )
    for rule in RULES:
        broken = [fault for source in files for fault in rule.find(source)]
        _print(rule.name, broken, why=rule.why, mend=rule.mend)
        faults += broken
    return 1 if faults else 0


def figures(files: list[Source]) -> str:
    """Return how large files and functions are: median, 90th percentile and largest."""
    measured = {
        "file": sorted(_lines(source) for source in files),
        "function": sorted(lines for source in files for _, lines in functions(source)),
    }
    return "\n".join(
        f"{name}: {len(each)}, median {each[len(each) // 2]}, "
        f"90th percentile {each[len(each) * 9 // 10]}, largest {each[-1]} lines"
        for name, each in measured.items()
    )


def _test_places(path: Path, text: str) -> Iterator[Path]:
    """Yield where the modules of tests that a Rust file declares are kept, without suffix."""
    if path.suffix != ".rs":
        return
    folder = path.parent if path.stem in {"lib", "main", "mod"} else path.with_suffix("")
    for name in rust_source.test_files(text):
        yield folder / name


def _sleeps(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    return name == "sleep" and [ast.unparse(each) for each in call.args] != ["0"]


def _names(node: ast.Import | ast.ImportFrom | ast.arg) -> set[str]:
    """Return what a node imports, or what an argument asks for by its name."""
    if isinstance(node, ast.arg):
        return {node.arg}
    names = {each.name for each in node.names}
    if isinstance(node, ast.ImportFrom):
        return {f"{node.module}.{name}" for name in names} | {str(node.module)}
    return names


def _lines(source: Source) -> int:
    return source.text.count("\n")


def _in_comments(source: Source, pattern: re.Pattern[str]) -> Iterator[Fault]:
    for line, text in _comments(source):
        for offset, each in enumerate(text.splitlines()):
            if found := pattern.search(each):
                yield Fault(where=f"{source.path}:{line + offset}", what=found.group())


def _comments(source: Source) -> Iterator[tuple[int, str]]:
    """Yield comments and docstrings with the number of their first line."""
    if source.is_rust:
        yield from rust_source.comments(source.text)
        return
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        is_docstring = token.type == tokenize.STRING and token.line.lstrip().startswith('"""')
        if token.type == tokenize.COMMENT or is_docstring:
            yield token.start[0], token.string


def _in_code(source: Source, pattern: re.Pattern[str]) -> Iterator[Fault]:
    text = rust_source.without_tests(source.text) if source.is_rust else source.text
    if source.is_rust and source.is_test:
        text = rust_source.code(source.text)
    for number, line in enumerate(text.splitlines(), start=1):
        if found := pattern.search(line):
            yield Fault(where=f"{source.path}:{number}", what=found.group())


def _print(name: str, faults: list[Fault], *, why: str, mend: str) -> None:
    if faults:
        print(f"{name}:")
        print("\n".join(f"  {fault.where}: {fault.what}" for fault in faults))
        print(f"  why:  {why}\n  mend: {mend}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
