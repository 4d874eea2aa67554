"""Stacked bars, as SVG for the inside of HTML."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..render.markup import escape

WIDTH, HEIGHT, GAP, LEFT = 1200, 34, 10, 34
"""Pixels where the page is at its widest: of the drawing, a bar, between bars, of their names."""


@dataclass(frozen=True)
class Segment:
    """
    A part of a bar.

    Attributes:
        name: What it is.
        size: In bytes, above 0.
        hue: Style class of its colour.
    """

    name: str
    size: int
    hue: str


@dataclass(frozen=True)
class Bar:
    """
    A bar of parts.

    Attributes:
        name: Stands to the left of it.
        segments: From left to right.
    """

    name: str
    segments: Sequence[Segment]

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self.segments)


def stacked_bars(bars: Sequence[Bar]) -> str:
    """
    Draw bars below each other, their lengths proportional to bytes.

    Args:
        bars: One or more.

    Returns:
        An ``svg`` element.

    """
    scale = (WIDTH - LEFT) / max(1, *(bar.size for bar in bars))
    height = len(bars) * (HEIGHT + GAP) - GAP
    drawn = "".join(_bar(bar, i * (HEIGHT + GAP), scale) for i, bar in enumerate(bars))
    return (
        f'<svg class="map bars" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="Bytes of each file by role; the tables have the same numbers">\n'
        f"{drawn}</svg>"
    )


def _bar(bar: Bar, y: int, scale: float) -> str:
    x = float(LEFT)
    pieces = [f'<text class="name" x="0" y="{y + HEIGHT * 0.68:.1f}">{escape(bar.name)}</text>']
    for segment in bar.segments:
        width = segment.size * scale
        title = f"<title>{escape(segment.name)}\n{segment.size:,} bytes</title>"
        place = f'x="{x:.3f}" y="{y}" width="{width:.3f}" height="{HEIGHT}"'
        pieces.append(f'<g class="{segment.hue}">{title}<rect {place}/></g>')
        x += width
    return "".join(pieces) + "\n"
