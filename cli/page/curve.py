"""Losses against bytes, as SVG for the inside of HTML."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..render.markup import escape
from .assets import drawing

WIDTH, HEIGHT = 1200, 520
LEFT, RIGHT, TOP, BOTTOM = 90, 60, 24, 50
RADIUS = 6
STEPS = (1, 2, 2.5, 5, 10)
"""Distances of round numbers, times a power of ten."""

MOST_TICKS = 8

Points = Sequence[tuple[float, float, str]]
"""Bytes, loss above 0, and what to say of it; where that is nothing there is no dot."""


@dataclass(frozen=True)
class _Scale:
    """Where numbers lie: bytes by themselves, losses by their logarithm."""

    x: Sequence[float]
    y: Sequence[float]

    def place(self, size: float, loss: float) -> tuple[float, float]:
        low, high = math.log(self.y[0]), math.log(self.y[-1])
        right = (size - self.x[0]) / (self.x[-1] - self.x[0])
        up = (math.log(loss) - low) / (high - low)
        wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + right * wide, HEIGHT - BOTTOM - up * tall


def curve(series: Mapping[str, Points], hues: Mapping[str, str], label: str) -> str:
    """
    Draw curves through points.

    Args:
        series: Name to points; a line joins those of one name.
        hues: Name to style class of the colour.
        label: What the losses are, with their unit.

    Returns:
        A figure that scrolls by itself on a narrow screen; empty if there are no points.

    """
    points = [point for own in series.values() for point in own]
    if not points:
        return ""
    sizes, losses = [size for size, _, _ in points], [loss for _, loss, _ in points]
    scale = _Scale(_ticks(min(sizes), max(sizes)), _log_ticks(min(losses), max(losses)))
    drawn = [*_axes(scale, label)]
    for name, own in series.items():
        drawn += _series(scale, sorted(own), hues[name])
    svg = (
        f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="Losses against bytes; the table has the same numbers">\n'
        f"{''.join(drawn)}</svg>"
    )
    return drawing("Curve", svg)


def _axes(scale: _Scale, label: str) -> Iterator[str]:
    for size in scale.x:
        x, y = scale.place(size, scale.y[0])
        yield f'<path class="grid" d="M{x:.1f} {TOP}V{y:.1f}"/>'
        yield f'<text text-anchor="middle" x="{x:.1f}" y="{y + 22:.1f}">{size:,.0f}</text>'
    for loss in scale.y:
        x, y = scale.place(scale.x[0], loss)
        yield f'<path class="grid" d="M{x:.1f} {y:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text text-anchor="end" x="{x - 8:.1f}" y="{y + 5:.1f}">{loss:g}</text>'
    yield f'<text x="{LEFT}" y="{TOP - 6}">{escape(label)}</text>'
    yield f'<text text-anchor="end" x="{WIDTH - RIGHT}" y="{HEIGHT - 6}">bytes</text>\n'


def _series(scale: _Scale, points: Points, hue: str) -> Iterator[str]:
    places = [scale.place(size, loss) for size, loss, _ in points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<g class="{hue}"><path class="line" d="M{path}"/>'
    for (x, y), (_, _, said) in zip(places, points, strict=True):
        if said:
            title = f"<title>{escape(said)}</title>"
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}">{title}</circle>'
    yield "</g>\n"


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from below the lowest to above the highest."""
    rough = max(high - low, 1) / MOST_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * step for step in STEPS if power * step >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [step * i for i in range(first, max(last, first + 1) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten from below the lowest to above the highest; if few, more between."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = range(first, max(last, first + 1) + 1)
    if len(powers) > 3:
        return [10.0**i for i in powers]
    digits = (1, 2, 5) if len(powers) == 3 else (1, 1.5, 2, 3, 4, 5, 6, 8)
    ticks = [digit * 10.0**i for i in powers for digit in digits]
    least = max((tick for tick in ticks if tick <= low), default=ticks[0])
    most = min((tick for tick in ticks if tick >= high and tick > least), default=ticks[-1])
    return [tick for tick in ticks if least <= tick <= most]
