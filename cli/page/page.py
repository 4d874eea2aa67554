"""
One self-contained page that shows where the bytes of an artifact went.

The page loads nothing and runs nothing but its own script, and its content
security policy holds the browser to that. Names and provenance come from a
stranger: they are escaped, and never part of a script, a style or an id.
"""

from collections.abc import Mapping, Sequence
from string import Template

from artpack.artifact.describe import Description, TensorRow, role_of
from artpack.artifact.header import Header
from artpack.stages import JsonValue

from ..render.cells import COLUMNS, TEXT_COLUMNS, overhead_cells, tensor_cells, total_cells
from ..render.markup import escape
from ..render.words import coding_note, grid_words
from .assets import asset, drawing, headline, policy, tree
from .drawings import Piece, histogram, treemap

HUES = 8
OVERHEAD = "overhead"


def html_page(title: str, description: Description, header: Header) -> str:
    """
    Show where the bytes of an artifact went.

    Args:
        title: Name of the artifact.
        description: Where its bytes went.
        header: Its header, for where it came from.

    Returns:
        An HTML page that refers to nothing outside; the same input gives the same page.

    """
    style, script = asset("page.css"), asset("page.js")
    hues = _hues(description)
    return Template(asset("page.html")).substitute(
        title=escape(title),
        policy=policy(style, script),
        style=style,
        script=script,
        headline=_headline(description),
        treemap=drawing("Map", treemap(_pieces(description, hues))),
        legend=_legend(description, hues),
        table=_table(description, hues),
        facts=_facts(header),
    )


def _headline(description: Description) -> str:
    figures = {
        "bytes": f"{description.file_bytes:,}",
        "weights": f"{description.weights:,}",
        "bits per weight": f"{description.bits_per_weight:.3f}",
        "tensors": f"{len(description.tensors):,}",
    }
    return headline(figures)


def _grids(description: Description) -> dict[str, list[TensorRow]]:
    """Return the tensors of each grid, the grid with the most bytes first."""
    grids: dict[str, list[TensorRow]] = {}
    for row in description.tensors:
        grids.setdefault(row.grid, []).append(row)
    return dict(sorted(grids.items(), key=lambda item: -_bytes(item[1])))


def _bytes(rows: Sequence[TensorRow]) -> int:
    return sum(row.stored_bytes for row in rows)


def _hues(description: Description) -> dict[str, str]:
    """Return the style class of each grid; grids beyond the last hue share it."""
    return {grid: f"g{min(i, HUES - 1)}" for i, grid in enumerate(_grids(description))}


def _pieces(description: Description, hues: Mapping[str, str]) -> list[Piece]:
    def note(size: int) -> str:
        return f"{size:,} bytes, {size / description.file_bytes:.2%}"

    pieces = [
        Piece(name, OVERHEAD, note(size), size, OVERHEAD)
        for name, size in description.overhead.items()
    ]
    for t, row in enumerate(description.tensors):
        bits = f"{row.bits_per_weight:.3f} bits per weight"
        about = f"{note(row.stored_bytes)}, {grid_words(row.grid)}, {bits}"
        pieces.append(
            Piece(row.name, role_of(row.name), about, row.stored_bytes, hues[row.grid], f"t{t}")
        )
    return [piece for piece in pieces if piece.size]


def _legend(description: Description, hues: Mapping[str, str]) -> str:
    lines = [
        (hues[grid], grid_words(grid), f"{len(rows):,}", _bytes(rows))
        for grid, rows in _grids(description).items()
    ]
    lines.append((OVERHEAD, OVERHEAD, "", sum(description.overhead.values())))
    body = "\n".join(
        f'<tr class="{hue}"><th scope="row">{escape(grid)}</th><td class="n">{tensors}</td>'
        f'<td class="n">{size:,}</td><td class="n">{size / description.file_bytes:.2%}</td></tr>'
        for hue, grid, tensors, size in lines
    )
    names = ("tensors", "bytes", "share")
    heads = "".join(f'<th scope="col" class="n">{name}</th>' for name in names)
    return (
        f'<table><thead><tr><th scope="col">grid</th>{heads}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table>"
    )


def _table(description: Description, hues: Mapping[str, str]) -> str:
    heads = "".join(
        f'<th scope="col" data-column="{column}"{_sums(column)}{_class(column)}>{column}</th>'
        for column in COLUMNS
    )
    body = "\n".join(
        f'<tr id="t{t}" class="{hues[row.grid]}">'
        f"{_cells(tensor_cells(row, description), coding_note(row.parts))}"
        f"<td>{histogram(row.histogram)}</td></tr>"
        for t, row in enumerate(description.tensors)
    )
    rest = [*overhead_cells(description), total_cells(description)]
    foot = "\n".join(f"<tr>{_cells(cells)}<td></td></tr>" for cells in rest)
    return (
        f'<thead><tr>{heads}<th scope="col">codes</th></tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n<tfoot>\n{foot}\n</tfoot>"
    )


def _cells(cells: Sequence[str], coding: str = "") -> str:
    """Write the cells of a row; ``coding`` says what the words of that column stand for."""
    name, *rest = cells
    titles = {"coding": f' title="{_lines(coding)}"'} if coding else {}
    data = "".join(
        f"<td{_class(column)}{titles.get(column, '')}>{escape(cell)}</td>"
        for column, cell in zip(COLUMNS[1:], rest, strict=True)
    )
    return f'<th scope="row"><bdi>{escape(name)}</bdi></th>{data}'


def _lines(text: str) -> str:
    return "&#10;".join(map(escape, text.splitlines()))


def _sums(column: str) -> str:
    return " data-sum" if column == "bytes" else ""


def _class(column: str) -> str:
    return f' class="{column if column in TEXT_COLUMNS else "n"}"'


def _facts(header: Header) -> str:
    """Write where the weights came from, a section a subject; empty ones are left out."""
    sections: dict[str, JsonValue] = {
        "Provenance": header.provenance,
        "Model": header.model,
        "Tied tensors": {tie.name: tie.target for tie in header.ties},
        "Banks": {bank.name: list(bank.members) for bank in header.banks},
        "Files, bytes": _file_sizes(header),
    }
    return "\n".join(
        f'<section>\n<h2>{name}</h2>\n<div class="facts">{tree(value)}</div>\n</section>'
        for name, value in sections.items()
        if value
    )


def _file_sizes(header: Header) -> dict[str, JsonValue]:
    record = header.files
    return {} if record is None else dict(zip(record.names, record.sizes, strict=True))
