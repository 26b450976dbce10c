"""Nanoseconds of each part of the data plane: sealing, windows, retention, segmentation.

Runs the benchmarks of crates/jump-proto/benches and prints a JSON line for each, from what
criterion leaves behind: the median and its bounds of 95 %.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "target" / "criterion"
SECONDS: Final = ("--warm-up-time", "0.3", "--measurement-time", "1")


def figures(since: float) -> Iterator[dict[str, object]]:
    """Yield the figures that were measured after `since`."""
    for path in sorted(RESULTS.glob("**/new/estimates.json")):
        if path.stat().st_mtime < since:
            continue
        what = json.loads((path.parent / "benchmark.json").read_text())
        median = json.loads(path.read_text())["median"]
        bounds = median["confidence_interval"]
        nanoseconds = median["point_estimate"]
        figure: dict[str, object] = {
            "bench": "micro",
            "part": what["full_id"],
            "ns": round(nanoseconds, 1),
            "ns_low": round(bounds["lower_bound"], 1),
            "ns_high": round(bounds["upper_bound"], 1),
        }
        if what["throughput"] is not None:
            size = what["throughput"]["Bytes"]
            figure |= {"bytes": size, "gbit_s": round(size * 8 / nanoseconds, 1)}
        yield figure


def main() -> int:
    """Run the benchmarks; what cargo and criterion say goes to standard error."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    stamp = RESULTS / "started"
    stamp.touch()
    command = ("cargo", "bench", "-p", "jump-proto", "--bench", "micro", "--", "--noplot", *SECONDS)
    status = subprocess.run(command, check=False, cwd=ROOT, stdout=sys.stderr).returncode
    for figure in figures(stamp.stat().st_mtime):
        print(json.dumps(figure), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
