"""Figures and tables as a person reads them."""

from collections.abc import Sequence
from typing import Final

UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows with their columns aligned; the last column is left as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[-1] = 0
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(lines)


def duration(milliseconds: int) -> str:
    """Return a length of time in its two largest units."""
    for place, (unit, size) in enumerate(UNITS):
        if milliseconds < size:
            continue
        text = f"{milliseconds // size} {unit}"
        rest = milliseconds % size
        if unit in {"s", "ms"} or rest < UNITS[place + 1][1]:
            return text
        below, size_below = UNITS[place + 1]
        return f"{text} {rest // size_below} {below}"
    return "0 ms"


def size(octets: int) -> str:
    """Return a number of bytes in its largest unit."""
    value = float(octets)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
