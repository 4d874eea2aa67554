"""
The picture and the table of README.md: a language model's bytes against its loss.

Both are made of the rows of ``bench_llm`` and of nothing else::

    python -m benchmarks.llm_picture

Of peers whose files zstd makes smaller, the smaller ones are shown.
"""

import argparse
import csv
import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench_llm import ARTPACK
from benchmarks.chart import Axis, Chart, Series
from benchmarks.report import Row

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PICTURE = ROOT / "docs" / "pictures" / "llm.svg"
README = ROOT / "README.md"
START, END = "<!-- llm table -->", "<!-- end of llm table -->"
SQUEEZED = ", zstd"
TITLE = "SmolLM2-135M: bytes against what packing loses"
LOSSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


def main() -> None:
    """Write the picture and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", type=Path, nargs="?", default=max(RESULTS.glob("llm-*.csv")))
    parser.add_argument("-o", "--output", type=Path, default=PICTURE)
    parser.add_argument("--readme", type=Path, default=README)
    asked = parser.parse_args()
    rows = read(asked.csv)
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    asked.output.write_text(picture(rows))
    page = asked.readme.read_text()
    asked.readme.write_text(with_table(page, rows))


def read(path: Path) -> list[Row]:
    """Read the rows, of each method the smallest files that it has."""
    with path.open(newline="") as file:
        rows: list[Row] = list(csv.DictReader(file))
    squeezed = {
        (str(row["method"]).removesuffix(SQUEEZED), row["setting"])
        for row in rows
        if str(row["method"]).endswith(SQUEEZED)
    }
    return [row for row in rows if (row["method"], row["setting"]) not in squeezed]


def picture(rows: Sequence[Row]) -> str:
    """
    Draw bytes against the divergence from the unpacked model.

    Args:
        rows: Of ``bench_llm``.

    Returns:
        An SVG.

    """
    methods = sorted({str(row["method"]) for row in rows}, key=lambda name: (name != ARTPACK, name))
    series = [_series(name, [row for row in rows if row["method"] == name]) for name in methods]
    points = [point for one in series for point in one.points]
    sizes, losses = ([point[i] for point in points] for i in (0, 1))
    first, last = math.floor(min(sizes) / 10), math.ceil(max(sizes) / 10)
    low = max((tick for tick in LOSSES if tick < min(losses)), default=LOSSES[0])
    high = min((tick for tick in LOSSES if tick > max(losses)), default=LOSSES[-1])
    x = Axis("megabytes of the whole file", [10 * tick for tick in range(first, last + 1)])
    ticks = [tick for tick in LOSSES if low <= tick <= high]
    y = Axis("KL from the unpacked model, nats per token", ticks, logarithmic=True)
    return Chart(TITLE, x, y, series).svg()


def _series(name: str, rows: Sequence[Row]) -> Series:
    own = name == ARTPACK
    return Series(
        name,
        [(float(row["bytes"]) / 1e6, float(row["kl_nats"])) for row in rows],
        [] if own else [str(row["setting"]).partition(",")[0] for row in rows],
        joined=own,
    )


def with_table(page: str, rows: Sequence[Row]) -> str:
    """
    Put the table between its marks.

    Args:
        page: Text with both marks.
        rows: Of ``bench_llm``.

    Returns:
        The text with the table of these rows.

    """
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table(rows)}\n{END}{after}"


def table(rows: Sequence[Row]) -> str:
    """Write the rows as Markdown, the smallest file first."""
    heads = ("file", "bytes", "bits per byte, increase", "KL, nats per token", "artpack at that KL")
    lines = [heads, ("---",) * len(heads), *map(_cells, sorted(rows, key=_size))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _size(row: Row) -> int:
    return int(row["bytes"])


def _cells(row: Row) -> tuple[str, ...]:
    own = row["method"] == ARTPACK
    name = f"{row['method']}, {row['setting']}"
    share = str(row["artpack_share"])
    return (
        f"**{name}**" if own else name,
        f"{int(row['bytes']):,}",
        f"{float(row['bpb_increase']):+.4f}",
        f"{float(row['kl_nats']):.4f} ± {float(row['kl_stderr']):.4f}",
        "" if own or not share else f"{float(share):.2f} of the bytes",
    )


if __name__ == "__main__":
    main()
