"""
The memory that a large checkpoint takes: to read it tensor by tensor, and to pack it.

Writes 1 GiB of random weights as safetensors and as a file of ``torch.save``. Each
row is measured in a fresh process, as the increase over what the process had after
its imports. ``peak_mib`` is all that was resident (``VmHWM``): the process's own
memory, and the pages of the mapped file, which the kernel may drop at any time.

Fails if a peak exceeds twice the largest tensor plus the output. Linux only::

    python -m benchmarks.bench_memory --csv benchmarks/results
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from safetensors.torch import save_file

from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.selection import select
from artpack.coding.profiles import FAST
from artpack.pack.compress import compress
from artpack.recipes import load_recipe
from benchmarks.memory import peak_growth_mib
from benchmarks.report import Row, print_table, write_csv

TENSORS = 16
ROWS, COLS = 4096, 4096
TENSOR_MIB = ROWS * COLS * torch.float32.itemsize / 2**20

Work = Callable[[], int]
"""Returns the number of bytes that it keeps: the output."""


def main() -> int:
    """Run the benchmark; the exit status is 1 if a peak exceeds the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_checkpoints(Path(folder))
        rows = [measure("read", path, partial(read, path)) for path in paths]
        rows.append(measure("compress int6 fast", paths[0], partial(pack, paths[0])))
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "memory", rows)
    return int(any(float(row["peak_mib"]) > float(row["limit_mib"]) for row in rows))


def write_checkpoints(folder: Path) -> list[Path]:
    """Write the same random weights in both formats."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        f"blocks.{i}.weight": torch.randn(ROWS, COLS, generator=generator) for i in range(TENSORS)
    }
    paths = [folder / "weights.safetensors", folder / "weights.pt"]
    save_file(weights, paths[0])
    torch.save(weights, paths[1])
    return paths


def measure(what: str, path: Path, work: Work) -> Row:
    """Do the work in a process that does nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        output, peak_mib, seconds = fresh.submit(timed, work).result()
    return {
        "what": what,
        "format": path.suffix,
        "tensors": TENSORS,
        "largest_mib": TENSOR_MIB,
        "output_mib": round(output / 2**20, 1),
        "peak_mib": round(peak_mib, 1),
        "limit_mib": round(2 * TENSOR_MIB + output / 2**20, 1),
        "seconds": round(seconds, 1),
    }


def timed(work: Work) -> tuple[int, float, float]:
    """Return the output's size in bytes, the peak in MiB, and seconds."""
    start = time.perf_counter()
    output, peak_mib = peak_growth_mib(work)
    return output, peak_mib, time.perf_counter() - start


def read(path: Path) -> int:
    """Touch every element of one tensor after another."""
    with open_checkpoint(path) as checkpoint:
        for info in checkpoint.tensors:
            low, high = checkpoint.read(info.name).aminmax()
            assert -10 < low < high < 10, info.name
    return 0


def pack(path: Path) -> int:
    """Compress in memory; every stream is decoded and compared on the way."""
    with open_checkpoint(path) as checkpoint:
        packed = compress(checkpoint, select(checkpoint), load_recipe("int6"), profile=FAST)
        return packed.size_bytes


if __name__ == "__main__":
    sys.exit(main())
