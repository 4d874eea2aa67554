r"""
Bytes of the frontier and of peers at an equal loss, on one checkpoint.

Every file is read back before it is scored, on the same tokens in the same run. Only the
frontier and k-quants with an imatrix see calibration data; a second curve of the frontier
does without. The peers, besides rows in integers with zstd: ``nncodec`` (ISO/IEC 15938-17,
dependent quantization), ``gguf``, and llama.cpp's k-quants in files of ``gguf``. Its Python
only reads these; ggml's own C library, which ``pywhispercpp`` brings along, makes them.
A peer that ``--peers-python`` does not have is left out::

    python -m venv peers
    peers/bin/pip install gguf==0.19.0 pywhispercpp==1.5.1 \
        nncodec==2.1.3 flwr wandb sentencepiece
    python -m benchmarks.bench_peers --peers-python peers/bin/python \
        --calibration lm6m.calib --sensitivities lm6m.sensitivities --csv benchmarks/results

"Equal" is interpolated on the frontier's curve, bytes and losses by their logarithms, and
left open where the curve does not reach or the loss is less than twice its standard error.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from artpack.calibration.file import Calibration
from artpack.recipes import load_recipe
from benchmarks.curves import share_at
from benchmarks.machine import results_path
from benchmarks.peers import (
    File,
    gguf_files,
    has_peer,
    k_quant_files,
    nncodec_files,
    plain_integers,
)
from benchmarks.rate_distortion import Bench, draw, open_bench, options
from benchmarks.report import Row, print_table, write_csv

BITS = (5.2, 4.2, 3.4, 2.8, 2.2, 1.7, 1.2)
BITS_WITHOUT_DATA = (5.0, 4.0, 3.2, 2.4)
FRONTIER = "frontier"
WITHOUT_DATA = "frontier, no data"


def main() -> int:
    """Run the benchmark."""
    parser = options(__doc__)
    parser.add_argument("--peers-python", type=Path, default=Path(sys.executable))
    asked = parser.parse_args()
    with open_bench(asked) as bench:
        rows = with_shares(list(run(bench, asked.peers_python)))
    print_table(rows)
    if asked.csv is not None:
        write_csv(asked.csv, "peers", rows)
        draw(results_path(asked.csv, "peers").with_suffix(".png"), rows)
    return 0


def run(bench: Bench, python: Path) -> Iterator[Row]:
    """Measure all files."""
    checkpoint, known = bench.pack.checkpoint, bench.calibration
    weights = {info.name: checkpoint.read(info.name).float() for info in checkpoint.tensors}
    for file in peer_files(weights, python, known):
        yield bench.score(file.method, file.setting, file.size, file.weights)
    spec = load_recipe("frontier")
    yield from bench.frontier(
        FRONTIER, spec, BITS, calibration=known, sensitivities=bench.sensitivities()
    )
    yield from bench.frontier(
        WITHOUT_DATA, spec, BITS_WITHOUT_DATA, calibration=None, sensitivities=None
    )


def peer_files(weights: Mapping[str, Tensor], python: Path, known: Calibration) -> Iterator[File]:
    """Pack by every other method."""
    if has_peer("nncodec.nn", python):
        yield from nncodec_files(weights, python)
    if has_peer("gguf", python):
        yield from gguf_files(weights, python)
        if has_peer("_pywhispercpp", python):
            yield from k_quant_files(weights, python, known)
    yield from plain_integers(weights)


def with_shares(rows: Sequence[Row]) -> list[Row]:
    """Add what the frontier, with and without data, needs for each loss as a share of the bytes."""
    curves = {
        name: [row for row in rows if row["method"] == method]
        for name, method in (("frontier", FRONTIER), ("no_data", WITHOUT_DATA))
    }
    shares = {
        f"{name}_share_at_{kind}": (curve, loss)
        for name, curve in curves.items()
        for kind, loss in (("kl", "kl_nats"), ("bpb", "bpb_increase"))
    }
    return [
        {
            **row,
            **{name: share_at(row, curve, loss, "bytes") for name, (curve, loss) in shares.items()},
        }
        for row in rows
    ]


if __name__ == "__main__":
    sys.exit(main())
