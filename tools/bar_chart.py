"""A bar chart as SVG: a bar for each label, with the range of its rounds; light and readable."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 760
LABEL_WIDTH: Final = 210
VALUE_WIDTH: Final = 90
ROW: Final = 24
BAR: Final = 15
TOP: Final = 34
INK: Final = "#1f2933"
FAINT: Final = "#7b8794"
PAPER: Final = "#ffffff"
COLOURS: Final = {"ours": "#0b7285", "peer": "#adb5bd", "bound": "#dee2e6"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One label with its value, the range around it, and the colour's name."""

    label: str
    value: float
    low: float
    high: float
    colour: str
    shown: str


def chart(title: str, bars: Sequence[Bar]) -> str:
    """Return the chart; the longest bar fills the width."""
    height = TOP + ROW * len(bars) + 8
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    most = max((each.high for each in bars), default=0.0) or 1.0
    rows = [_row(bar, y=TOP + ROW * number, scale=room / most) for number, bar in enumerate(bars)]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" font-family="system-ui, sans-serif" font-size="13">'
    )
    paper = f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>'
    heading = f'<text x="8" y="20" font-weight="600" fill="{INK}">{escape(title)}</text>'
    return "\n".join((head, paper, heading, *rows, "</svg>\n"))


def _row(bar: Bar, *, y: int, scale: float) -> str:
    middle = y + BAR / 2
    low, high = LABEL_WIDTH + bar.low * scale, LABEL_WIDTH + bar.high * scale
    length = bar.value * scale
    whisker = (
        f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 3}V{middle + 3}'
        f'M{high:.1f} {middle - 3}V{middle + 3}" stroke="{FAINT}" fill="none"/>'
        if bar.high > bar.low
        else ""
    )
    return (
        f'<text x="{LABEL_WIDTH - 8}" y="{y + 12}" text-anchor="end" fill="{INK}">'
        f"{escape(bar.label)}</text>"
        f'<rect x="{LABEL_WIDTH}" y="{y}" width="{length:.1f}" height="{BAR}"'
        f' fill="{COLOURS[bar.colour]}"/>{whisker}'
        f'<text x="{max(high, LABEL_WIDTH + length) + 6:.1f}" y="{y + 12}" fill="{INK}">'
        f"{escape(bar.shown)}</text>"
    )
