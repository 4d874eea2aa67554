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
        --calibration lm6m.calib --costs lm6m.costs --csv benchmarks/results

"Equal" is interpolated on the frontier's curve, bytes and losses by their logarithms, and
left open where the curve does not reach or the loss is less than twice its standard error.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from artpack_cli.plot import draw_curves
from torch import Tensor

from artpack.artifact.reader import open_artifact
from artpack.budget.frontier import Frontier
from artpack.budget.sensitivity import measure_costs, read_costs, write_costs
from artpack.checkpoint import Checkpoint, open_checkpoint
from artpack.coding.profiles import FAST
from artpack.compress import compress
from artpack.evaluate.divergence import Divergence
from artpack.quantize.calibration import Calibration, read_calibration
from artpack.recipes import load_recipe
from artpack.selection import select
from artpack.stages import Config
from benchmarks.curves import share_at
from benchmarks.judge import Judge, stream_beside
from benchmarks.machine import results_path
from benchmarks.peers import (
    File,
    gguf_files,
    has_peer,
    k_quant_files,
    nncodec_files,
    plain_integers,
)
from benchmarks.report import Row, print_table, write_csv
from benchmarks.sources import lm6m_path

MEASURED_TOKENS = 8192
BITS = (5.2, 4.2, 3.4, 2.8, 2.2, 1.7, 1.2)
BITS_WITHOUT_DATA = (5.0, 4.0, 3.2, 2.4)
FRONTIER = "frontier"
WITHOUT_DATA = "frontier, no data"
LOSSES = {"kl": ("kl_nats", "kl_stderr"), "bpb": ("delta_bpb", "delta_bpb_stderr")}
"""Columns of a loss and of its standard error."""


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=lm6m_path())
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--costs", type=Path, help="where measured costs are kept")
    parser.add_argument("--peers-python", type=Path, default=Path(sys.executable))
    parser.add_argument("--tokens", type=int, default=262_144, help="validation tokens to score")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    path = arguments.checkpoint
    if path is None:
        print("the checkpoint lm6m is not there: set ARTPACK_SHARED to the folder of shared data")
        return 1
    with open_checkpoint(path) as checkpoint:
        rows = with_equals(list(run(checkpoint, path, arguments)))
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "peers", rows)
        picture = results_path(arguments.csv, "peers").with_suffix(".png")
        draw_curves(
            picture, curves(rows), x_label="bytes", y_label="KL, nats a token", logarithmic=True
        )
    return 0


def run(checkpoint: Checkpoint, path: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    """Measure all files."""
    judge = Judge(checkpoint, path, arguments.tokens)
    weights = {info.name: checkpoint.read(info.name).float() for info in checkpoint.tensors}
    count = sum(weight.numel() for weight in weights.values())
    for file in files(checkpoint, weights, judge, arguments):
        score = judge.compare(file.weights)
        increase, kl = score.bits_per_byte_increase, score.kl_nats
        row: Row = {
            "method": file.method,
            "setting": file.setting,
            "bytes": file.size,
            "bits_per_weight": round(8 * file.size / count, 3),
            "delta_bpb": round(increase.value, 6),
            "delta_bpb_stderr": round(increase.stderr or 0.0, 6),
            "kl_nats": round(kl.value, 7),
            "kl_stderr": round(kl.stderr or 0.0, 7),
        }
        print(*row.values(), flush=True)
        yield row


def files(
    checkpoint: Checkpoint,
    weights: Mapping[str, Tensor],
    judge: Judge,
    arguments: argparse.Namespace,
) -> Iterator[File]:
    """Pack by every method."""
    known, python = read_calibration(arguments.calibration), arguments.peers_python
    if has_peer("nncodec.nn", python):
        yield from nncodec_files(weights, python)
    if has_peer("gguf", python):
        yield from gguf_files(weights, python)
        if has_peer("_pywhispercpp", python):
            yield from k_quant_files(weights, python, known)
    yield from plain_integers(weights)
    spec, selection, jobs = load_recipe("frontier"), select(checkpoint), arguments.threads
    costs = obtain_costs(checkpoint, known, judge, arguments)
    informed = Frontier(checkpoint, selection, spec, known, costs=costs, jobs=jobs)
    yield from frontier_files(FRONTIER, checkpoint, informed, BITS)
    blind = Frontier(checkpoint, selection, spec, None, jobs=jobs)
    yield from frontier_files(WITHOUT_DATA, checkpoint, blind, BITS_WITHOUT_DATA)


def frontier_files(
    method: str, checkpoint: Checkpoint, frontier: Frontier, bits: Sequence[float]
) -> Iterator[File]:
    """Pack at several rates."""
    spec, selection = load_recipe("frontier"), select(checkpoint)
    for rate in bits:
        given = frontier.prepare(frontier.octaves_for(rate))
        packed = compress(checkpoint, selection, spec, prepared=given, profile=FAST)
        content = b"".join(packed.pieces())
        with open_artifact(content) as artifact:
            unpacked = {info.name: artifact.stored_tensor(info.name) for info in selection.tensors}
        yield File(method, f"{rate:g} bits", len(content), unpacked)


def obtain_costs(
    checkpoint: Checkpoint, known: Calibration, judge: Judge, arguments: argparse.Namespace
) -> Mapping[str, float]:
    """Read what tensors cost, or measure it on the first calibration tokens and keep it."""
    recipe = load_recipe("frontier")
    fingerprint: Config = {"weights": checkpoint.weights_sha256, "recipe": recipe.to_json()}
    costs = read_costs(arguments.costs, fingerprint) if arguments.costs else None
    if costs is None:
        ids = stream_beside(arguments.checkpoint, "calib.bin").ids[:MEASURED_TOKENS]
        windows = ids.reshape(-1, judge.window_tokens).astype(np.int64)
        loss = Divergence(judge.model, windows, banks=checkpoint.banks)
        costs = measure_costs(Frontier(checkpoint, select(checkpoint), recipe, known), loss)
        if arguments.costs:
            write_costs(arguments.costs, costs, fingerprint)
    return costs


def with_equals(rows: Sequence[Row]) -> Sequence[Row]:
    """Add what the frontier, with and without data, needs for each loss as a share of the bytes."""
    found = [dict(row) for row in rows]
    for name, method in (("frontier", FRONTIER), ("no_data", WITHOUT_DATA)):
        for kind, columns in LOSSES.items():
            curve = [row for row in rows if row["method"] == method and _is_sure(row, *columns)]
            for row in found:
                sure = _is_sure(row, *columns)
                share = share_at(row, curve, columns[0], "bytes") if sure else ""
                row[f"{name}_share_at_{kind}"] = share
    return found


def _is_sure(row: Row, loss: str, stderr: str) -> bool:
    return float(row[loss]) > 2 * float(row[stderr])


def curves(rows: Sequence[Row]) -> dict[str, list[tuple[float, float]]]:
    """Return each method's bytes and divergences."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        point = (float(row["bytes"]), float(row["kl_nats"]))
        found.setdefault(str(row["method"]), []).append(point)
    return found


if __name__ == "__main__":
    sys.exit(main())
