"""One self-contained page about a sweep: the curve of bytes and losses, and every file."""

from itertools import pairwise
from typing import TYPE_CHECKING

import artpack

from .curve import curve
from .report import note, notes, paragraph, report_page, scrolled, section
from .tables import Columns, table

if TYPE_CHECKING:
    from artpack.api.sweep import CurvePoint

HUES = 8
COLUMNS = ("recipe", "bytes", "KL, nats", "±", "bits per byte", "±", "another KB saves", "s")


def sweep_page(title: str, found: "artpack.Curve") -> str:
    """
    Show what a sweep found.

    Args:
        title: What was packed.
        found: The files.

    Returns:
        An HTML page that refers to nothing outside; the same input gives the same page.

    """
    recipes = list(dict.fromkeys(point.recipe for point in found.points))
    hues = {name: f"g{min(i, HUES - 1)}" for i, name in enumerate(recipes)}
    series = {
        name: [
            _drawn(point) for point in found.points if point.recipe == name and point.kl_nats > 0
        ]
        for name in recipes
    }
    drawing = curve({name: own for name, own in series.items() if own}, hues, "KL, nats per token")
    return report_page(
        title,
        "bytes against loss",
        "Bytes against what packing loses; every file was made, coded and counted.",
        {"files": f"{len(found.points):,}", "recipes": f"{len(recipes):,}"},
        [
            section(
                "Curve",
                paragraph(
                    "Losses by their logarithm; a file without loss is in the table alone. Point"
                    " at a dot for its numbers."
                ),
                drawing,
            ),
            section(
                "Files",
                scrolled("Files", _table(found, hues), filtered=True),
                note(
                    "<b>another KB saves</b> is what of the loss a thousand bytes more would save,"
                    " on the way to the next larger file that was made for a budget."
                ),
                notes(found.notes),
            ),
        ],
    )


def _drawn(point: "CurvePoint") -> tuple[float, float, str]:
    said = f"{point.recipe}\n{point.bytes:,} bytes, KL {point.kl_nats:.6f}"
    return point.bytes, point.kl_nats, said


def _table(found: "artpack.Curve", hues: dict[str, str]) -> str:
    worth = _worth(found)
    points = sorted(found.points, key=lambda point: point.bytes)
    rows = [_row(point, worth.get(point)) for point in points]
    # What nothing was measured of has no column.
    kept = [i for i in range(len(COLUMNS)) if any(row[i] for row in rows)]
    return table(
        Columns([COLUMNS[i] for i in kept], text=("recipe",)),
        [[row[i] for i in kept] for row in rows],
        hues=[hues[point.recipe] for point in points],
    )


def _row(point: "CurvePoint", worth: float | None) -> list[str]:
    numbers = (point.kl_nats, point.kl_stderr, point.bpb_increase, point.bpb_stderr)
    return [
        point.recipe,
        f"{point.bytes:,}",
        *("" if number is None else f"{number:.5f}" for number in numbers),
        "" if worth is None else f"{worth:.7f}",
        f"{point.seconds:.1f}",
    ]


def _worth(found: "artpack.Curve") -> "dict[CurvePoint, float]":
    """Return what another KB saves on the way to the next larger file made for a budget."""
    made = sorted((one for one in found.points if one.budget), key=lambda one: one.bytes)
    return {
        one: 1000 * (one.kl_nats - after.kl_nats) / (after.bytes - one.bytes)
        for one, after in pairwise(made)
        if after.bytes > one.bytes
    }
