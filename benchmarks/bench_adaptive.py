"""
The adaptive coder beside what else codes weights, role by role.

Symbols of the language model: row-scaled int6, and points of a 64-state trellis at one
step a tensor times one drawn for each column, at two rates: WaterSIC gives columns steps
of their own too. And one matrix as large as a layer of a 36M-parameter model, for speed.
Nothing is reported that was not decoded and compared. Times are of the processor; where a
pipeline is run only once, they include loading its kernel into a fresh process. Linux only,
from the repository's root::

    python -m benchmarks.bench_adaptive --csv benchmarks/results
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.selection import select
from artpack.coding.codecs import Brotli, Lrzip, Stored, Zpaq
from artpack.coding.groups import StreamGroup
from artpack.coding.layouts import Columns, Rows
from artpack.coding.pipeline import Pipeline
from artpack.coding.symbol_coders import Adaptive, Bytes, ClassedRans, Rans
from artpack.pack.grouping import role
from artpack.quantize.grids.lattice import to_codes
from artpack.quantize.trellis.viterbi import search_columns
from artpack.stages import Codec
from benchmarks.coding_results import Result, totals
from benchmarks.measure import encode_as, measure
from benchmarks.report import print_table, write_csv
from benchmarks.sources import Group, checkpoint_groups, lm6m_path

INT6 = "lm6m int6"
STATES, RADIUS = 64, 127
STEPS_PER_STD = {"3.3 bits": 2.41, "2.3 bits": 1.2}
COL_LOG_STD = 0.4
LARGE = (512, 2048)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few symbols, only to see it run")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows to FILE")
    arguments = parser.parse_args()
    results: list[Result] = []
    for group, states in groups(quick=arguments.quick):
        found = list(measured(group, states))
        results += found
        print_table([one.row() for one in found])
    for source in dict.fromkeys(one.source for one in results):
        print_table(
            [one.row() for one in totals(r for r in results if r.source == source).values()]
        )
    if arguments.csv is not None:
        write_csv(arguments.csv, "adaptive", [one.row() for one in results])
    return 0


def groups(*, quick: bool) -> Iterator[tuple[Group, int]]:
    """Yield groups of codes with the states of their trellis."""
    chance = np.random.default_rng(0)
    rows, cols = (64, 64) if quick else LARGE
    scales = np.exp(0.25 * chance.normal(size=(rows, 1)) + 0.15 * chance.normal(size=cols))
    codes = (2.41 * scales * chance.normal(size=(rows, cols))).round().clip(-31, 31) + 31
    yield Group("large", "layer", "codes", StreamGroup((codes.astype(np.uint8),), 63)), 1
    path = lm6m_path()
    if path is None or quick:
        return
    for group in checkpoint_groups(INT6, path, "int6"):
        if group.part == "codes":
            yield group, 1
    for name, steps in STEPS_PER_STD.items():
        for group in lattice_groups(path, f"lm6m trellis, {name}", steps):
            yield group, STATES


def lattice_groups(path: Path, source: str, steps_per_std: float) -> Iterator[Group]:
    """Yield the codes of each role's matrices on the trellis."""
    roles: dict[str, list[NDArray[np.uint8]]] = {}
    with open_checkpoint(path) as checkpoint:
        for info in select(checkpoint, include=r"blocks.*\.weight").tensors:
            weight = checkpoint.read(info.name).float().numpy()
            draw = np.random.default_rng(len(roles))
            cols = np.exp(COL_LOG_STD * draw.normal(size=weight.shape[1]))
            targets = 2 * steps_per_std * cols * weight / weight.std()
            points = search_columns(targets.astype(np.float32), STATES, RADIUS)
            codes = (to_codes(points, STATES) + RADIUS).astype(np.uint8)
            roles.setdefault(role(info.name), []).append(codes)
    for name, parts in roles.items():
        yield Group(source, name, "codes", StreamGroup(tuple(parts), 2 * RADIUS + 1, STATES))


def measured(group: Group, states: int) -> Iterator[Result]:
    """Measure every pipeline on a group."""
    for pipeline in pipelines(states):
        yield Result(
            group.source,
            group.name,
            group.part,
            group.stream_group.symbols,
            group.true_bits,
            group.order0_bits * group.stream_group.symbols,
            pipeline.label,
            measure(partial(encode_as, pipeline), group.stream_group, runs=5),
        )


def pipelines(states: int) -> Iterator[Pipeline]:
    """Yield the rivals."""
    yield Pipeline(Rows(), Rans(), Stored())
    yield Pipeline(Columns(), ClassedRans(), Stored())
    yield Pipeline(Rows(), Adaptive(states), Stored())
    codecs: list[Codec] = [Brotli(), Lrzip()] if shutil.which("lrzip") else [Brotli()]
    for codec in codecs:
        yield Pipeline(Rows(), Bytes(), codec)
        yield Pipeline(Columns(), Bytes(), codec)
    yield Pipeline(Columns(), Bytes(), Zpaq())


if __name__ == "__main__":
    sys.exit(main())
