"""Charts as SVG that reads on light and on dark ground, without a library."""

import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 24, 50, 56
CHAR, LINE, DOT = 6.6, 14, 8
"""Pixels of a character and a line of small text, a little more than they take, and of a dot."""

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1d2126; }
.small { font-size: 11.5px; } .title { font-size: 15px; font-weight: 600; }
.faint { fill: #5d646d; }
.grid { stroke: #dcd9d1; } .line { fill: none; stroke-width: 2.5; } .dash { stroke-dasharray: 6 5; }
.c0 { stroke: #2f6fae; fill: #2f6fae; } .c1 { stroke: #b3541e; fill: #b3541e; }
.c2 { stroke: #3b7d46; fill: #3b7d46; } .c3 { stroke: #8257b0; fill: #8257b0; }
.c4 { stroke: #a8436f; fill: #a8436f; } .c5 { stroke: #1c7b80; fill: #1c7b80; }
text.c0, text.c1, text.c2, text.c3, text.c4, text.c5 { stroke: none; font-weight: 600; }
.line { fill: none !important; } .paper { fill: #fbfaf7; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #15181c; } text { fill: #e4e6e8; }
  .faint { fill: #9aa2ab; } .grid { stroke: #30363d; }
  .c0 { stroke: #6aa9e9; fill: #6aa9e9; } .c1 { stroke: #eb8f58; fill: #eb8f58; }
  .c2 { stroke: #74bd80; fill: #74bd80; } .c3 { stroke: #b893e0; fill: #b893e0; }
  .c4 { stroke: #e283ab; fill: #e283ab; } .c5 { stroke: #5cc0c6; fill: #5cc0c6; }
}
"""


@dataclass(frozen=True)
class Axis:
    """
    An axis.

    Attributes:
        label: What lies along it, with its unit.
        ticks: Where lines are, the ends among them.
        logarithmic: Whether it is.
    """

    label: str
    ticks: Sequence[float]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at the first tick and 1 at the last."""
        scale: Callable[[float], float] = math.log if self.logarithmic else float
        low, high = scale(self.ticks[0]), scale(self.ticks[-1])
        return (scale(value) - low) / (high - low)


@dataclass(frozen=True)
class Series:
    """
    Points of one kind.

    Attributes:
        name: Written beside the last point.
        points: Each ``(x, y)``.
        labels: A short text for each point, or none.
        joined: Whether a line runs through the points, in the order of x.
        marked: Whether points have dots.
        dashed: Whether the line is.
    """

    name: str
    points: Sequence[tuple[float, float]]
    labels: Sequence[str] = ()
    joined: bool = True
    marked: bool = True
    dashed: bool = False


@dataclass
class Chart:
    """
    A chart with two axes.

    Attributes:
        title: Says what is to be seen.
        x: The axis to the right.
        y: The axis upwards.
        series: In the order of their colours.
        legend: Whether names stand in the upper right corner, not beside last points.
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    legend: bool = False
    _taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def svg(self) -> str:
        """Return the picture."""
        self._taken = [_box(*self._place(point)) for s in self.series for point in s.points]
        self._taken += [_box(*place) for s in self.series if s.joined for place in self._along(s)]
        drawn = [
            *self._axes(),
            *(line for i, s in enumerate(self.series) for line in _join(self, i, s)),
        ]
        for i, series in enumerate(self.series):
            drawn += self._dots(i, series)
        for i, series in enumerate(self.series):
            drawn += self._texts(i, series)
        return frame(self.title, drawn)

    def _place(self, point: tuple[float, float]) -> tuple[float, float]:
        x = LEFT + self.x.share(point[0]) * (WIDTH - LEFT - RIGHT)
        return x, HEIGHT - BOTTOM - self.y.share(point[1]) * (HEIGHT - TOP - BOTTOM)

    def _axes(self) -> Iterator[str]:
        for tick in self.x.ticks:
            x, _ = self._place((tick, self.y.ticks[0]))
            yield f'<path class="grid" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
            yield text(x, HEIGHT - BOTTOM + 18, f"{tick:g}", "small faint", "middle")
        for tick in self.y.ticks:
            _, y = self._place((self.x.ticks[0], tick))
            yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            yield text(LEFT - 8, y + 4, f"{tick:g}", "small faint", "end")
        yield text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, self.x.label, "faint", "middle")
        yield text(LEFT, TOP - 7, self.y.label, "small faint", "start")

    def _dots(self, i: int, series: Series) -> Iterator[str]:
        for x, y in map(self._place, series.points if series.marked else ()):
            yield f'<circle class="c{i % 6}" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'

    def _texts(self, i: int, series: Series) -> Iterator[str]:
        for point, label in zip(series.points, series.labels, strict=False):
            yield self._beside(point, label, "small faint")
        style, corner = f"c{i % 6}", (WIDTH - RIGHT - 12, TOP + 22 + 20 * i)
        if self.legend:
            yield text(*corner, series.name, style, "end")
        else:
            yield self._beside(max(series.points), series.name, style)

    def _beside(self, point: tuple[float, float], label: str, style: str) -> str:
        """Write beside a point where nothing is yet: right, left, above or below."""
        x, y = self._place(point)
        width = CHAR * len(label) * (1 if "small" in style else 1.15)
        right, left = (x + 9, "start"), (x - 9, "end")
        tries = [
            (*side, y + 4 + off)
            for off in LINE * np.array([0, -1, 1, -2, 2, -3, 3])
            for side in (right, left)
        ]
        for at, anchor, line in tries:
            start = at if anchor == "start" else at - width
            box = (start, line - LINE + 3, start + width, line + 3)
            inside = box[0] > LEFT and box[2] < WIDTH and box[1] > TOP and box[3] < HEIGHT - BOTTOM
            if inside and not any(_overlap(box, other) for other in self._taken):
                break
        self._taken.append(box)
        return text(at, line, label, style, anchor)

    def _along(self, series: Series) -> Iterator[tuple[float, float]]:
        """Yield places on the line through the points."""
        places = [self._place(point) for point in sorted(series.points)]
        for (x, y), (to_x, to_y) in pairwise(places):
            for share in np.linspace(0, 1, 1 + int(max(abs(to_x - x), abs(to_y - y)) // DOT)):
                yield x + share * (to_x - x), y + share * (to_y - y)


def _box(x: float, y: float) -> tuple[float, float, float, float]:
    return x - DOT / 2, y - DOT / 2, x + DOT / 2, y + DOT / 2


def _join(chart: Chart, i: int, series: Series) -> Iterator[str]:
    if series.joined:
        places = (chart._place(point) for point in sorted(series.points))  # noqa: SLF001
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        dash = " dash" if series.dashed else ""
        yield f'<path class="line c{i % 6}{dash}" d="M{path}"/>'


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def bars(title: str, unit: str, values: Sequence[tuple[str, float]]) -> str:
    """
    Draw bars below each other.

    Args:
        title: Says what is to be seen.
        unit: Of the values.
        values: Name and value of each, from above.

    Returns:
        The picture.

    """
    most = max(value for _, value in values)
    names = CHAR * max(len(name) for name, _ in values)
    step = (HEIGHT - TOP - BOTTOM) / len(values)
    drawn = [text((names + WIDTH) / 2, HEIGHT - 14, unit, "faint", "middle")]
    for i, (name, value) in enumerate(values):
        y = TOP + step * i
        wide = (WIDTH - names - 110) * value / most
        drawn.append(text(names + 14, y + step / 2 + 4, name, "", "end"))
        hue = "c0" if i == len(values) - 1 else "c1"
        drawn.append(
            f'<rect class="{hue}" x="{names + 24:.1f}" y="{y + 6:.1f}"'
            f' width="{wide:.1f}" height="{step - 12:.1f}" rx="3"/>'
        )
        drawn.append(text(names + 32 + wide, y + step / 2 + 4, f"{value:.3f}", "", "start"))
    return frame(title, drawn)


def text(x: float, y: float, words: str, style: str, anchor: str) -> str:
    """Write text at a place."""
    kind = f' class="{style}"' if style else ""
    where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text{kind} {where}>{html.escape(words)}</text>"


def frame(title: str, drawn: Sequence[str]) -> str:
    """Put a drawing under its title."""
    paper = f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
    body = "\n".join([paper, text(LEFT, 22, title, "title", "start"), *drawn])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{html.escape(title)}">\n<style>{STYLE}</style>\n{body}\n</svg>\n'
    )
