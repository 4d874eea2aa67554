"""One self-contained page about a sweep: the curve of bytes and losses, and every file."""

from itertools import pairwise
from string import Template
from typing import TYPE_CHECKING

import artpack

from ..render.markup import escape
from .assets import asset, headline, policy
from .curve import curve

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
    style, script = asset("page.css"), asset("page.js")
    recipes = list(dict.fromkeys(point.recipe for point in found.points))
    hues = {name: f"g{min(i, HUES - 1)}" for i, name in enumerate(recipes)}
    series = {
        name: [
            _drawn(point) for point in found.points if point.recipe == name and point.kl_nats > 0
        ]
        for name in recipes
    }
    figures = {"files": f"{len(found.points):,}", "recipes": f"{len(recipes):,}"}
    return Template(asset("sweep.html")).substitute(
        title=escape(title),
        policy=policy(style, script),
        style=style,
        script=script,
        headline=headline(figures),
        curve=curve({name: own for name, own in series.items() if own}, hues, "KL, nats per token"),
        table=_table(found, hues),
        notes="".join(f"<li>{escape(note)}</li>" for note in found.notes),
    )


def _drawn(point: "CurvePoint") -> tuple[float, float, str]:
    said = f"{point.recipe}\n{point.bytes:,} bytes, KL {point.kl_nats:.6f}"
    return point.bytes, point.kl_nats, said


def _table(found: "artpack.Curve", hues: dict[str, str]) -> str:
    heads = "".join(
        f'<th scope="col" data-column="{name}" class="{"n" if i else ""}">{name}</th>'
        for i, name in enumerate(COLUMNS)
    )
    worth = _worth(found)
    body = "\n".join(
        f'<tr class="{hues[point.recipe]}">{_row(point, worth.get(point))}</tr>'
        for point in sorted(found.points, key=lambda point: point.bytes)
    )
    return f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>"


def _row(point: "CurvePoint", worth: float | None) -> str:
    numbers = (point.kl_nats, point.kl_stderr, point.bpb_increase, point.bpb_stderr)
    cells = [
        f"{point.bytes:,}",
        *("" if number is None else f"{number:.5f}" for number in numbers),
        "" if worth is None else f"{worth:.7f}",
        f"{point.seconds:.1f}",
    ]
    data = "".join(f'<td class="n">{cell}</td>' for cell in cells)
    return f'<th scope="row"><bdi>{escape(point.recipe)}</bdi></th>{data}'


def _worth(found: "artpack.Curve") -> "dict[CurvePoint, float]":
    """Return what another KB saves on the way to the next larger file made for a budget."""
    made = sorted((one for one in found.points if one.budget), key=lambda one: one.bytes)
    return {
        one: 1000 * (one.kl_nats - after.kl_nats) / (after.bytes - one.bytes)
        for one, after in pairwise(made)
        if after.bytes > one.bytes
    }
