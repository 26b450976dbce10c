"""The page about speed: what was measured beside other VPNs, from the figures in `bench/data`."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from bench.measures.goals import GOALS, OURS, Goal, Verdict, judge
from bench.measures.samples import Sample, parse, summary
from bench.measures.table import cell, number

from bar_chart import Bar, chart
from docs_pages.markdown import table

DATA: Final = Path(__file__).parents[2] / "bench" / "data"
COMPARISON: Final = "comparison"
SESSIONS: Final = "sessions"
PROFILE: Final = "profile"
ROUNDS_MIN: Final = 5
PEERS: Final = ("wireguard-go", "openvpn", "nebula", "tinc")
BOUNDS: Final = ("plain veth", "plain veth (no offloads)", "plain tunnel")
ORDER: Final = (OURS, f"{OURS} (no retention)", f"{OURS} (no cipher)", *PEERS, *BOUNDS)
TEXT: Final = """# Performance

<!-- Generated from bench/data by tools/generate_docs.py; measure again to change it. -->

What the data plane does beside the VPNs that a user would pick instead: all of them between the
same two hosts, namespaces of one machine on a cable with an MTU of 1,500 bytes. Client, gateway,
sender and receiver share the same processors, so a figure tells what the work costs, not what a
network card can carry. Each figure is the median of interleaved rounds on fresh ground, with the
lowest and highest round in brackets; each ratio is taken within one round. What was measured while
others used the processors is marked, and counts only where nothing else is there: then, and with
fewer than five rounds, an answer is in doubt, and absolute figures are too low for everybody.
"""
REPRODUCE: Final = """## Measure it again

```sh
sudo make bench-peers                       # OpenVPN, nebula, tinc, and wg of WireGuard
sudo make bench NAME=comparison             # or one part: throughput, smallpackets, latency
sudo make bench NAME=sessions               # and NAME=profile
.venv/bin/python -m bench --keep comparison # the last run becomes what this page shows
make docs
```

wireguard-go is compared where `wireguard-go` is on the PATH or in `build/peers/`. Distributions
ship a release without its offloads: build the newest from its own sources for a fair comparison.
`PEERS=nebula,tinc` compares with these alone, `OPTIONS="--rounds 9 --seconds 4"` takes longer.
"""
LIMITS: Final = """## What limits us now

Where the processor time of client and gateway goes, sampled with `perf` on both ends together
(`make bench NAME=profile`). A system call owns all that the kernel does in it: on one machine the
write to a cable also pays for the receiver's way up to its socket, and the write to a TUN for the
inner TCP up to the application.
"""
CHARTS: Final = {
    "images/performance-tcp.svg": (
        "TCP 1 up",
        "TCP, one stream, client to gateway, Mbit/s",
    ),
    "images/performance-cost.svg": (
        "TCP 1 up cost",
        "Processor seconds per GB, client and gateway (less is better)",
    ),
    "images/performance-small.svg": (
        "UDP 200 up",
        "UDP of 200 bytes that arrive each second",
    ),
    "images/performance-ping.svg": (
        "ping p50",
        "Round trip of an echo through an idle tunnel, p50, us (less is better)",
    ),
}


def performance() -> str:
    """Return the page."""
    parts = [TEXT, _circumstances(), _goals()]
    parts += [
        _section("Throughput and its cost", _chosen("TCP", "UDP 1350"), "tcp", "cost"),
        _section("Small packets", _chosen("UDP 200"), "small"),
        _section("Ping", _chosen("ping"), "ping"),
        _section("Many sessions", samples(SESSIONS)),
        _profile(),
        _gains(),
        REPRODUCE,
    ]
    return "\n".join(part for part in parts if part)


def samples(bench: str) -> list[Sample]:
    """Return what was kept of a measurement."""
    return parse(_lines(bench))


def _chosen(*figures: str) -> list[Sample]:
    """Return the samples of the comparison whose figure begins with one of these."""
    return [each for each in samples(COMPARISON) if each.figure.startswith(figures)]


def _lines(bench: str) -> list[str]:
    file = DATA / f"{bench}.jsonl"
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def _circumstances() -> str:
    told: list[dict[str, Any]] = [json.loads(line) for line in _lines(COMPARISON)]
    if not told:
        return "Nothing has been measured yet.\n"
    versions = {each["peer"]: each["version"] for each in told}
    compared = ", ".join(f"{peer} {versions[peer]}" for peer in PEERS if peer in versions)
    commits = ", ".join(dict.fromkeys(each["commit"] for each in told))
    last = told[-1]
    doubtful = sum(not each["trusted"] for each in told)
    return (
        f"Measured on {max(each['at'] for each in told)[:10]} at commit {commits}: "
        f"{last['cpus']} processors ({last['processor']}), Linux {last['kernel']}. "
        f"Compared with {compared or 'nobody'}. "
        f"Of {len(told)} values {doubtful or 'none'} were made while others used the machine.\n"
    )


def _goals() -> str:
    told = (judge(goal, samples(COMPARISON)) or judge(goal, samples(SESSIONS)) for goal in GOALS)
    rows = [
        (
            str(goal.point),
            goal.text,
            goal.bound_text,
            cell(verdict.summary),
            str(verdict.summary.count),
            _answer(goal, verdict),
        )
        for goal, verdict in zip(GOALS, told, strict=True)
        if verdict is not None
    ]
    head = ("", "goal", "wanted", "measured", "rounds", "reached")
    return f"## Goals\n\n{table(head, rows)}\n" if rows else ""


def _answer(goal: Goal, verdict: Verdict) -> str:
    """Return whether a goal is reached; only a ratio needs many rounds and a quiet machine."""
    told = "yes" if verdict.reached else "**no**"
    is_enough = verdict.summary.count >= ROUNDS_MIN or not goal.under
    return told if is_enough and not verdict.summary.is_doubtful else f"{told}, in doubt"


def _section(title: str, kept: Sequence[Sample], *charts: str) -> str:
    if not kept:
        return ""
    figures = list(dict.fromkeys((each.figure, each.unit) for each in kept))
    found = dict.fromkeys(each.peer for each in kept)
    peers = [
        *(each for each in ORDER if each in found),
        *(each for each in found if each not in ORDER),
    ]
    # A few figures stand beside each other, many below each other.
    cells = [("", *peers)] + [
        (f"{figure}, {unit}", *(cell(summary(kept, peer, figure)) for peer in peers))
        for figure, unit in figures
    ]
    head, *rows = zip(*cells, strict=True) if len(figures) < len(peers) else cells
    images = "".join(
        f"\n![{CHARTS[f'images/performance-{name}.svg'][1]}](../images/performance-{name}.svg)\n"
        for name in charts
    )
    return f"## {title}\n\n{table(head, rows)}\n{images}"


def _profile() -> str:
    kept = samples(PROFILE)
    parts = []
    for load in dict.fromkeys(each.figure.partition(": ")[0] for each in kept):
        kinds = {
            each.figure: told.median
            for each in kept
            if each.figure.startswith(load) and (told := summary(kept, each.peer, each.figure))
        }
        whole = sum(kinds.values())
        unit = next(each.unit for each in kept if each.figure.startswith(load))
        rows = [
            (name.partition(": ")[2], number(value), f"{value / whole:.0%}")
            for name, value in sorted(kinds.items(), key=lambda each: -each[1])
        ]
        parts.append(f"### {load}\n\n{table(('', unit, 'share'), rows)}\n")
    return "\n".join((LIMITS, *parts)) if parts else ""


def _gains() -> str:
    file = DATA / "gains.json"
    if not file.exists():
        return ""
    gains: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    head = tuple(dict.fromkeys(name for each in gains for name in each))
    rows = [tuple(str(each.get(name, "")) for name in head) for each in gains]
    return f"## What each technique gained\n\n{table(head, rows)}\n"


def _image(figure: str, title: str) -> Callable[[], str]:
    return lambda: chart(title, _bars(samples(COMPARISON), figure))


def _bars(kept: Sequence[Sample], figure: str) -> list[Bar]:
    told = ((peer, summary(kept, peer, figure)) for peer in ORDER)
    return [
        Bar(
            label=peer,
            value=each.median,
            low=each.low,
            high=each.high,
            colour="ours" if peer.startswith(OURS) else "bound" if peer in BOUNDS else "peer",
            shown=number(each.median),
        )
        for peer, each in told
        if each is not None and each.median
    ]


PAGES: Final = {
    "reference/performance.md": performance,
    **{path: _image(*told) for path, told in CHARTS.items()},
}
