"""One self-contained page with files of one model side by side."""

from collections.abc import Iterable, Sequence
from string import Template

import artpack

from ..render.compare import (
    file_table,
    letters,
    rest_cells,
    row_cells,
    row_columns,
    text_columns,
)
from ..render.markup import escape
from .assets import asset, drawing, policy
from .bars import Bar, Segment, stacked_bars
from .tables import Columns, table

HUES = 7
"""Roles with a colour of their own; all others share the next."""


def compare_page(result: "artpack.CompareResult") -> str:
    """
    Show files of one model side by side.

    Args:
        result: What was found.

    Returns:
        An HTML page that refers to nothing outside; the same input gives the same page.

    """
    style, script = asset("page.css"), asset("page.js")
    columns, files = file_table(result)
    tensors = row_columns(result, by_tensor=True)
    roles = row_columns(result, by_tensor=False)
    hues = [f"g{min(i, HUES)}" for i in range(len(result.roles))]
    return Template(asset("compare.html")).substitute(
        policy=policy(style, script),
        style=style,
        script=script,
        reference=escape(result.reference),
        files=table(_columns(columns, ("", "file")), files),
        bars=drawing("Bytes by role", stacked_bars(_bars(result, hues))),
        roles=table(
            _columns(roles, text_columns(roles)),
            [row_cells(row) for row in result.roles],
            rest_cells(result, by_tensor=False),
            hues,
        ),
        tensors=table(
            _columns(tensors, text_columns(tensors)),
            [row_cells(row) for row in result.tensors],
            rest_cells(result, by_tensor=True),
        ),
    )


def _bars(result: "artpack.CompareResult", hues: Sequence[str]) -> list[Bar]:
    bars = []
    for i, (letter, one) in enumerate(zip(letters(result), result.files, strict=True)):
        sizes = [
            (row.name, row.bytes[i] or 0, hue) for row, hue in zip(result.roles, hues, strict=True)
        ]
        sizes.append(("everything else", one.other_bytes, "overhead"))
        bars.append(Bar(letter, [Segment(*item) for item in sizes if item[1] > 0]))
    return bars


def _columns(names: Sequence[str], text: Iterable[str]) -> Columns:
    return Columns(names, text, summed=[name for name in names if name.endswith(" bytes")])
