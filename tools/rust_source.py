"""Enough of Rust's grammar to measure it: code without its texts, comments, and functions."""

import re
from collections.abc import Iterator

TOKEN = re.compile(
    r"""
    (?P<comment> //[^\n]* | /\*.*?\*/ )
  | (?P<text> b?r(?P<hashes>\#*)".*?"(?P=hashes) | b?"(?:\\.|[^"\\])*" )
  | (?P<letter> b?'(?:\\u\{[0-9a-fA-F_]+\}|\\.[0-9a-fA-F]{0,2}|[^'\\])' )
    """,
    re.VERBOSE | re.DOTALL,
)
FUNCTION = re.compile(r"\bfn\s+(\w+)")
TEST_MODULE = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod\s+\w+\s*\{")
TEST_FILE = re.compile(r"#\[cfg\(test\)\]\s*(?:#\[[^\]]*\]\s*)*mod\s+(\w+)\s*;")


def code(source: str) -> str:
    """Return the source with comments, texts and letters blanked; every line keeps its place."""
    return TOKEN.sub(lambda found: _blank(found.group()), source)


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield every comment with the number of the line that it starts on."""
    for found in TOKEN.finditer(source):
        if found.group("comment"):
            yield source.count("\n", 0, found.start()) + 1, found.group()


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of lines of every function that has a body."""
    plain = code(source)
    for found in FUNCTION.finditer(plain):
        start = _body(plain, found.end())
        if start is not None:
            yield found.group(1), plain.count("\n", found.start(), _end(plain, start)) + 1


def test_files(source: str) -> list[str]:
    """Return the names of the modules of tests that are files of their own."""
    return TEST_FILE.findall(code(source))


def without_tests(source: str) -> str:
    """Return the code before and after its modules of tests, every line in its place."""
    plain = code(source)
    while found := TEST_MODULE.search(plain):
        end = _end(plain, found.end() - 1)
        plain = plain[: found.start()] + _blank(plain[found.start() : end]) + plain[end:]
    return plain


def _body(plain: str, start: int) -> int | None:
    """Return where the body begins, or None for a declaration; array types hide their `;`."""
    depth = 0
    for place in range(start, len(plain)):
        match plain[place]:
            case "(" | "[":
                depth += 1
            case ")" | "]":
                depth -= 1
            case "{" if depth == 0:
                return place
            case ";" if depth == 0:
                return None
    return None


def _end(plain: str, start: int) -> int:
    """Return the place after the brace that closes the one at `start`."""
    depth = 0
    for place in range(start, len(plain)):
        depth += {"{": 1, "}": -1}.get(plain[place], 0)
        if depth == 0:
            return place + 1
    return len(plain)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
