"""Write the reference pages of commands and configuration, or say which is stale (`--check`)."""

import sys
from pathlib import Path

from jumping_vpn.cli.reference import render_commands, render_configuration

REFERENCE = Path(__file__).parent.parent / "docs/reference"
PAGES = {"commands.md": render_commands, "configuration.md": render_configuration}


def main() -> int:
    """Write the pages, or compare them."""
    if "--check" in sys.argv[1:]:
        stale = [name for name, render in PAGES.items() if _text(name) != render()]
        for name in stale:
            print(f"{REFERENCE / name} is stale. Run: make bless", file=sys.stderr)
        return 1 if stale else 0
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, render in PAGES.items():
        (REFERENCE / name).write_text(render(), encoding="utf-8")
    return 0


def _text(name: str) -> str:
    path = REFERENCE / name
    return path.read_text(encoding="utf-8") if path.is_file() else ""


if __name__ == "__main__":
    sys.exit(main())
