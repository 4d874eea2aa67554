"""Rows of results, as a table and as a file."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.machine import machine, results_path

Row = Mapping[str, str | float]


def print_table(rows: Sequence[Row]) -> None:
    """Print one column a measure, one line a row; numbers to the right."""
    columns = [_cells(name, [row[name] for row in rows]) for name in rows[0]]
    for line in zip(*columns, strict=True):
        print(*line, sep="  ")


def _cells(name: str, values: Sequence[str | float]) -> list[str]:
    """Return a column, its name first, in cells of the same width and number of decimals."""
    decimals = max(len(str(value).partition(".")[2]) for value in values)
    texts = [
        f"{value:.{decimals}f}" if isinstance(value, float) else str(value) for value in values
    ]
    width = max(map(len, (name, *texts)))
    side = "<" if isinstance(values[0], str) else ">"
    return [f"{text:{side}{width}}" for text in (name, *texts)]


def write_csv(path: Path, bench: str, rows: Sequence[Row]) -> None:
    """Write the rows and what they were measured on; into a folder under a name that says so."""
    rows = [{**row, **machine()} for row in rows]
    with results_path(path, bench).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
