"""Small pieces of Markdown that the pages share."""

from collections.abc import Iterable, Sequence


def generated_from(module: str) -> str:
    """Return the line that says where a page comes from."""
    return f"<!-- Generated from {module} by tools/generate_docs.py; edit that. -->"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(each) for each in line) + " |" for line in lines)


def page(*parts: str) -> str:
    """Return a page of parts with an empty line between them."""
    return "\n\n".join(parts) + "\n"


def sentence(docstring: str | None) -> str:
    """Return the first paragraph of a docstring as one line."""
    first = (docstring or "").strip().split("\n\n")[0]
    return " ".join(first.split())


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
