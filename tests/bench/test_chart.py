"""The page about speed and its plots say what was measured, and what was not reached."""

import json
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from bench.measures.samples import Sample

from bar_chart import Bar, chart
from docs_pages import performance

SVG = "{http://www.w3.org/2000/svg}"


def test_a_chart_has_a_bar_for_each_label_and_the_longest_is_the_largest():
    drawn = parsed(chart("A & B", [bar("ours", 200.0), bar("a <peer>", 50.0)]))

    texts = [each.text for each in drawn.iter(f"{SVG}text")]
    widths = [float(each.attrib["width"]) for each in drawn.iter(f"{SVG}rect")][1:]
    assert texts == ["A & B", "ours", "200", "a <peer>", "50"]
    assert widths[0] == 4 * widths[1]


def test_a_chart_without_figures_is_an_empty_chart():
    assert parsed(chart("nothing", [])).tag == f"{SVG}svg"


def test_the_page_judges_what_was_kept_and_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(performance, "DATA", tmp_path)
    where = {"commit": "abc", "at": "2026-11-22T22:00:00Z", "processor": "P", "cpus": 2}
    kept = [sample("jumping-vpn", 3000.0), sample("wireguard-go", 2000.0)]
    lines = [json.dumps({**asdict(each), **where, "kernel": "6.1"}) for each in kept]
    (tmp_path / "comparison.jsonl").write_text("\n".join(lines))

    page = performance.performance()

    goal = (
        "| 1 | TCP, one stream, times wireguard-go, up | at least 2 | 1.50 | 1 | **no**, in doubt |"
    )
    assert goal in page.splitlines()
    assert "| jumping-vpn | 3,000 |" in page.splitlines()
    assert "at commit abc: 2 processors (P), Linux 6.1. Compared with wireguard-go 7." in page
    assert "3,000" in performance.PAGES["images/performance-tcp.svg"]()


def test_without_figures_the_page_says_that_nothing_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(performance, "DATA", tmp_path)

    assert "Nothing has been measured yet." in performance.performance()


def sample(peer: str, value: float) -> Sample:
    return Sample(
        bench="comparison",
        run="r",
        round=1,
        peer=peer,
        version="7",
        figure="TCP 1 up",
        unit="Mbit/s",
        value=value,
    )


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314  the text is our own


def bar(label: str, value: float) -> Bar:
    return Bar(label=label, value=value, low=value, high=value, colour="ours", shown=f"{value:.0f}")
