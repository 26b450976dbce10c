"""Rewrite every transcript with what the core and its roles print today; show the difference."""

import difflib
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from support.conversations import (  # noqa: E402  after the path
    conversations,
    render_conversation,
)
from support.transcripts import render, scenarios  # noqa: E402  after the path


def main() -> None:
    """Bless every scenario and every conversation."""
    bless(scenarios(), render)
    bless(conversations(), render_conversation)


def bless(paths: list[Path], rendered: Callable[[str], str]) -> None:
    """Rewrite the files that say something else than is printed today."""
    for path in paths:
        old = path.read_text()
        new = rendered(old)
        if new == old:
            continue
        path.write_text(new)
        name = str(path.relative_to(ROOT))
        sys.stdout.writelines(
            difflib.unified_diff(
                old.splitlines(keepends=True), new.splitlines(keepends=True), name, name
            )
        )


if __name__ == "__main__":
    main()
