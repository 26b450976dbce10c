"""Run one measurement: `python -m bench NAME OPTION...`; without a name, list them.

`python -m bench --keep NAME` keeps its last run in `bench/data`, which the documentation shows.

A measurement prints JSON lines. Each is kept in `build/bench/NAME.jsonl` with the machine and the
commit that it was made on, because a figure without them compares with nothing.
"""

import ast
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
KEPT: Final = HERE.parent / "build" / "bench"
SHOWN: Final = HERE / "data"
KEEP: Final = "--keep"


def measurements() -> dict[str, str]:
    """Return the name of every measurement with the first line of what it says of itself."""
    return {
        path.stem: (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        for path in sorted(HERE.glob("*.py"))
        if not path.stem.startswith("_")
    }


def circumstances() -> dict[str, object]:
    """Return where and when a figure was made."""
    commit = subprocess.run(
        ("git", "describe", "--always", "--dirty"),
        check=False,
        cwd=HERE,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return {
        "commit": commit,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def measure(name: str, options: Sequence[str]) -> int:
    """Run a measurement, show what it prints and keep its figures."""
    KEPT.mkdir(parents=True, exist_ok=True)
    where = circumstances()
    with (
        subprocess.Popen(
            (sys.executable, "-m", f"bench.{name}", *options), stdout=subprocess.PIPE, text=True
        ) as process,
        (KEPT / f"{name}.jsonl").open("a") as kept,
    ):
        for line in process.stdout or ():
            print(_shown(line), end="", flush=True)
            if line.startswith("{"):
                kept.write(json.dumps(json.loads(line) | where) + "\n")
                kept.flush()
    return process.returncode


def keep(name: str) -> int:
    """Keep the lines of the last run of a measurement for the documentation."""
    lines = (KEPT / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    told = [json.loads(line).get("run") for line in lines]
    if told[-1] is None:
        print(f"{name} is no comparison in rounds: nothing shows it", file=sys.stderr)
        return 2
    SHOWN.mkdir(exist_ok=True)
    text = "".join(f"{line}\n" for line, run in zip(lines, told, strict=True) if run == told[-1])
    (SHOWN / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return 0


def main(arguments: list[str]) -> int:
    """Run the named measurement, or list what there is."""
    known = measurements()
    if len(arguments) == 2 and arguments[0] == KEEP and arguments[1] in known:
        return keep(arguments[1])
    if arguments and arguments[0] in known:
        return measure(arguments[0], arguments[1:])
    if arguments:
        print(f"there is no measurement {arguments[0]}", file=sys.stderr)
    for name, text in known.items():
        print(f"  make bench NAME={name:<12} {text}")
    return 2 if arguments else 0


def _shown(line: str) -> str:
    """Return a line for a terminal: of one figure among many only what differs."""
    told = json.loads(line) if line.startswith("{") else {}
    if "figure" not in told:
        return line
    doubt = "" if told["trusted"] else f"  ({told['doubt']})"
    value = f"{told['figure']} {told['value']:,.1f} {told['unit']}"
    return f"round {told['round']}  {told['peer']:<26} {value}{doubt}\n"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
