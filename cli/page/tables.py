"""Tables of pages, which sort themselves, and filter their rows by name."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..render.markup import escape

FILTER = (
    '<p class="filter" hidden><label>Name contains <input type="search" autocomplete="off"'
    ' spellcheck="false"></label>\n<output></output></p>\n'
)


@dataclass(frozen=True)
class Columns:
    """
    What the columns of a table are.

    Attributes:
        names: Their headings; the first names the rows.
        text: Those that are words, not numbers.
        drawn: Those whose cells are markup and are not sorted.
        summed: Those that are added up for the rows that a filter leaves.
    """

    names: Sequence[str]
    text: Iterable[str] = ()
    drawn: Iterable[str] = ()
    summed: Iterable[str] = ()

    def head(self) -> str:
        """Write the headings."""
        return "".join(map(self._heading, self.names))

    def _heading(self, name: str) -> str:
        said = escape(name)
        if name in self.drawn:
            return f'<th scope="col">{said}</th>'
        sums = " data-sum" if name in self.summed else ""
        return f'<th scope="col" data-column="{said}"{sums} class="{self._kind(name)}">{said}</th>'

    def cells(self, row: Sequence[str]) -> str:
        """Write the cells of a row."""
        name, *rest = row
        data = "".join(map(self._cell, self.names[1:], rest))
        return f'<th scope="row"><bdi>{escape(name)}</bdi></th>{data}'

    def _cell(self, name: str, content: str) -> str:
        if name in self.drawn:
            return f'<td class="drawn">{content}</td>'
        return f'<td class="{self._kind(name)}">{escape(content)}</td>'

    def _kind(self, name: str) -> str:
        return "" if name in self.text else "n"


def table(
    columns: Columns,
    rows: Iterable[Sequence[str]],
    foot: Iterable[Sequence[str]] = (),
    hues: Sequence[str] = (),
) -> str:
    """
    Write the inside of a table.

    Args:
        columns: What its columns are.
        rows: A cell for each of them.
        foot: Rows that stay below.
        hues: Style class of the colour of each row; none for no colours.

    Returns:
        Head, body and foot.

    """
    body = "\n".join(
        f'<tr class="{hues[r] if hues else ""}">{columns.cells(row)}</tr>'
        for r, row in enumerate(rows)
    )
    last = "\n".join(f"<tr>{columns.cells(row)}</tr>" for row in foot)
    return (
        f"<thead><tr>{columns.head()}</tr></thead>\n<tbody>\n{body}\n</tbody>"
        f"\n<tfoot>\n{last}\n</tfoot>"
    )
