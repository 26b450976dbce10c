"""Write the pages of `docs/` that are made from the code; `--check` names those that are stale."""

import importlib
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python"), str(ROOT / "tools")]

import docs_pages  # noqa: E402  after the path

Page = Callable[[], str]


def pages() -> dict[str, Page]:
    """Return every generated page by its path under `docs/`."""
    found: dict[str, Page] = {}
    for module in sorted(pkgutil.iter_modules(docs_pages.__path__), key=lambda each: each.name):
        loaded = importlib.import_module(f"docs_pages.{module.name}")
        for path, page in getattr(loaded, "PAGES", {}).items():
            if path in found:
                raise ValueError(f"docs/{path} is generated twice")
            found[path] = page
    return found


def stale() -> list[str]:
    """Return the paths of pages whose file is missing or differs from what the code says."""
    return [path for path, page in pages().items() if _read(path) != page()]


def main(arguments: list[str]) -> int:
    """Write the stale pages, or only name them with `--check`."""
    for path in (found := stale()):
        print(f"docs/{path}")
        if "--check" not in arguments:
            file = ROOT / "docs" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(pages()[path]())
    if found and "--check" in arguments:
        print("stale: these pages are made from the code; run `python tools/generate_docs.py`")
        return 1
    return 0


def _read(path: str) -> str | None:
    file = ROOT / "docs" / path
    return file.read_text() if file.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
