"""
The three plots of docs/HOW_IT_WORKS.md, on random weights, by artpack's own code.

They take some seconds::

    python -m benchmarks.how_it_works
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artpack.artifact.describe import entropy_bits
from artpack.coding.codecs import Zstd
from artpack.coding.symbol_coders import Adaptive, Bits, Rans
from artpack.quantize.trellis.viterbi import search_columns
from artpack.stages.symbols import histogram
from artpack.stages.trellis import POLYNOMIALS, spacing
from benchmarks.chart import Axis, Chart, Series, bars

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
ROWS, COLUMNS = 512, 512
SPREAD = 0.7
"""Standard deviation of the logarithm of a row's scale, as in trained matrices."""

COLUMN_SPREAD = 0.4
RADIUS = 31

Matrix = NDArray[np.float64]


def main() -> None:
    """Write the plots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=PICTURES)
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in pictures():
        (folder / f"{name}.svg").write_text(svg)


def pictures() -> Iterator[tuple[str, str]]:
    """Yield the name and the drawing of each plot."""
    yield "row-scales", row_scales()
    yield "trellis", trellis_gain()
    yield "entropy", entropy()


def row_scales() -> str:
    """Draw error against rate: steps that follow the rows, one step for all, and the bound."""
    scales = np.exp(SPREAD * np.random.default_rng(0).normal(size=ROWS))
    weights = scales[:, None] * np.random.default_rng(1).normal(size=(ROWS, COLUMNS))
    steps = 2.0 ** np.arange(-4, 2.6, 0.5)
    own = [_rate_and_error(weights, step * scales[:, None]) for step in steps]
    one = [_rate_and_error(weights, np.full((ROWS, 1), step)) for step in steps]
    levels = [error for _, error in one]
    bound = [(_bits(scales, level), _error(scales, level)) for level in levels]
    x = Axis("bits per weight", range(6))
    y = Axis("mean squared error", (0.001, 0.01, 0.1, 1, 3), logarithmic=True)
    shown = [
        Series("a step for each row", _inside(own, x, y), marked=False),
        Series("one step for all", _inside(one, x, y), marked=False),
        Series("the least possible", _inside(bound, x, y), marked=False, dashed=True),
    ]
    return Chart("Row scales waste bytes", x, y, shown, legend=True).svg()


def _rate_and_error(weights: Matrix, steps: Matrix) -> tuple[float, float]:
    """Return bits per weight, every row at the entropy of its own codes, and squared error."""
    codes = np.rint(weights / steps)
    bits = sum(entropy_bits(np.unique(row, return_counts=True)[1]) for row in codes)
    return bits / weights.size, float(np.mean((codes * steps - weights) ** 2))


def _bits(scales: Matrix, level: float) -> float:
    """Return the least bits per weight of Gaussian rows when none errs by more than a level."""
    return float(np.mean(np.maximum(0, 0.5 * np.log2(scales**2 / level))))


def _error(scales: Matrix, level: float) -> float:
    return float(np.mean(np.minimum(scales**2, level)))


def _inside(points: list[tuple[float, float]], x: Axis, y: Axis) -> list[tuple[float, float]]:
    return [(a, b) for a, b in points if 0 <= x.share(a) <= 1 and 0 <= y.share(b) <= 1]


def trellis_gain() -> str:
    """Draw how far from the bound a trellis is, in bits per weight at equal error."""
    draw = np.random.default_rng(2).uniform(-20, 20, (4096, 64)).astype(np.float32)
    found = []
    for states in (1, *POLYNOMIALS):
        step = spacing(states)
        error = np.mean((search_columns(draw * step, states, 4 * RADIUS) - draw * step) ** 2)
        # A plain grid of as many points for each weight has steps of this size.
        found.append((float(states), 0.5 * np.log2(float(error) / _sphere(step))))
    x = Axis("states of the trellis", (1, *POLYNOMIALS), logarithmic=True)
    y = Axis(
        "bits per weight above the least possible, at equal error",
        (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3),
    )
    labels = [f"{bits:.3f}" for _, bits in found]
    return Chart("What a trellis buys", x, y, [Series("", found, labels)]).svg()


def _sphere(step: float) -> float:
    """Return the squared error of cells of that volume if they were balls in many dimensions."""
    return step**2 / (2 * math.pi * math.e)


def entropy() -> str:
    """Draw what coders make of the same symbols."""
    draw = np.random.default_rng(3)
    rows = np.exp(SPREAD * draw.normal(size=(ROWS, 1)))
    columns = np.exp(COLUMN_SPREAD * draw.normal(size=(1, COLUMNS)))
    weights = 2 * rows * columns * draw.normal(size=(ROWS, COLUMNS))
    symbols = (np.rint(weights).clip(-RADIUS, RADIUS) + RADIUS).astype(np.uint8)
    alphabet = 2 * RADIUS + 1
    flat = symbols.reshape(-1)
    sizes = {
        "packed bits": len(Bits().encode(flat, alphabet=alphabet)),
        "bytes, zstd": len(Zstd().encode(flat.tobytes())),
        "rANS, one table": len(Rans().encode(flat, alphabet=alphabet)),
        "their entropy": entropy_bits(histogram(symbols, alphabet)) / 8,
        "artpack's adaptive coder": len(Adaptive().encode_matrices([symbols], alphabet=alphabet)),
    }
    values = [(name, 8 * size / symbols.size) for name, size in sizes.items()]
    return bars("What entropy coding sees", "bits per weight, the same symbols", values)


if __name__ == "__main__":
    main()
