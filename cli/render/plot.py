"""Curves in a picture file."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from artpack.errors import UsageError
from artpack.system.atomic import write_atomically
from artpack.system.optional import import_optional

FORMATS = (".png", ".svg", ".pdf")


def draw_curves(
    path: Path,
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_label: str,
    y_label: str,
    logarithmic: bool = False,
) -> None:
    """
    Draw curves through points and write them as a picture.

    Args:
        path: Where to; ``.png``, ``.svg`` or ``.pdf``.
        curves: Name to points, each ``(x, y)``, drawn in the order of x.
        x_label: What lies along the x axis, with its unit.
        y_label: What lies along the y axis, with its unit.
        logarithmic: Whether y is drawn by its logarithm; points at 0 or below are left out.

    Raises:
        UsageError: The file's ending is none of the three, or a package is missing.
        OSError: The file cannot be written.

    """
    check_ending(path)
    figure = _figures().Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in curves.items():
        shown = sorted(point for point in points if not logarithmic or point[1] > 0)
        axes.plot([x for x, _ in shown], [y for _, y in shown], marker="o", ms=4, label=name)
    axes.set(xlabel=x_label, ylabel=y_label, yscale="log" if logarithmic else "linear")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:], dpi=120)
    write_atomically(path, [picture.getvalue()])


def check_ending(path: Path) -> None:
    """
    Check before long work that a picture can be written.

    Args:
        path: Where to.

    Raises:
        UsageError: The file's ending is none of the known ones, or a package is missing.

    """
    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: pictures end in {', '.join(FORMATS)}")
    _figures()


def _figures() -> Any:
    # Not at the top: it takes half a second, and most commands draw nothing.
    return import_optional("matplotlib.figure", what="pictures need", extra="plot")
