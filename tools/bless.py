"""Rewrite the transcripts of the session core with what it prints today; show the difference."""

import difflib
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from support.transcripts import render, scenarios  # noqa: E402  after the path


def main() -> None:
    """Bless every scenario."""
    for path in scenarios():
        old = path.read_text()
        new = render(old)
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
