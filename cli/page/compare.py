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
from .assets import asset, policy
from .bars import Bar, Segment, stacked_bars

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
        files=_table(columns, files, ("", "file"), ()),
        bars=stacked_bars(_bars(result, hues)),
        roles=_table(
            roles,
            [row_cells(row) for row in result.roles],
            text_columns(roles),
            rest_cells(result, by_tensor=False),
            hues,
        ),
        tensors=_table(
            tensors,
            [row_cells(row) for row in result.tensors],
            text_columns(tensors),
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


def _table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    text: Iterable[str],
    foot: Iterable[Sequence[str]],
    hues: Sequence[str] = (),
) -> str:
    kinds = ["" if column in text else "n" for column in columns]
    heads = "".join(
        f'<th scope="col" data-column="{escape(column)}"{_sums(column)} class="{kind}">'
        f"{escape(column)}</th>"
        for column, kind in zip(columns, kinds, strict=True)
    )
    body = "\n".join(
        f'<tr class="{hues[r] if hues else ""}">{_cells(row, kinds)}</tr>'
        for r, row in enumerate(rows)
    )
    last = "\n".join(f"<tr>{_cells(row, kinds)}</tr>" for row in foot)
    return f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n<tfoot>\n{last}\n</tfoot>"


def _cells(row: Sequence[str], kinds: Sequence[str]) -> str:
    name, *rest = row
    data = "".join(
        f'<td class="{kind}">{escape(cell)}</td>'
        for cell, kind in zip(rest, kinds[1:], strict=True)
    )
    return f'<th scope="row"><bdi>{escape(name)}</bdi></th>{data}'


def _sums(column: str) -> str:
    return " data-sum" if column.endswith(" bytes") else ""
