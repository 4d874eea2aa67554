"""A program that runs jobs on the CPU and on the make-believe accelerator, and compares."""

import copy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import artpack
from artpack import Sample, Settings, WindowOptions
from artpack.calibration.file import write_calibration
from artpack.evaluation.audit.run import audit_evaluator
from artpack.evaluation.scoring.evaluators import Windowed
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.adaptation import adapt
from artpack.evaluation.windows.placements import place
from artpack.evaluation.windows.plan import WindowPlan
from artpack.models import GPT
from tests.accelerator.device import install
from tests.evaluation.ttt.conftest import tiny_model, tiny_recipe, tiny_stream

WINDOWS = WindowOptions(window_tokens=16, stride_tokens=8)
Job = Callable[[GPT, Stream, str], Any]


def score(model: GPT, stream: Stream, device: str) -> Any:
    found = artpack.evaluate(model, stream, windows=WINDOWS, settings=Settings(device))
    assert found.score is not None
    return found.score.loss_sum_nats


def adapting(name: str) -> Job:
    def job(model: GPT, stream: Stream, device: str) -> Any:
        moved = copy.deepcopy(model).to(device)
        return adapt(
            moved, stream, tiny_recipe(name), settings=Settings(device)
        ).score.loss_sum_nats

    return job


def audit(model: GPT, stream: Stream, device: str) -> Any:
    def windows(given: Stream) -> WindowPlan:
        return place("sliding", given.ids, 16, 8, bos_id=given.bos_id)

    moved = copy.deepcopy(model).to(device)
    evaluator = Windowed(moved, windows, model.config.vocab_size, Settings(device))
    found = audit_evaluator(evaluator, stream, Sample(cuts=1), exact=True)
    return [one.passed for one in found]


def calibrate(model: GPT, stream: Stream, device: str) -> Any:
    found = artpack.calibrate(model, stream.ids, window_tokens=16, settings=Settings(device))
    with tempfile.TemporaryDirectory() as folder:
        write_calibration(Path(folder) / "a.calib", found)
        return (Path(folder) / "a.calib").read_bytes()


def train(model: GPT, stream: Stream, device: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        words = ["ark", "bread", "cedar", "dove", "earth"]
        texts = [" ".join(words[(i * j + j) % 5] for j in range(40)) + f" {i}." for i in range(60)]
        (Path(folder) / "text.txt").write_text("\0".join(texts))
        source = Path(folder) / "text.txt"
        data = artpack.tokenize([source], Path(folder) / "data", vocab_size=300, held_out=0.2)
        result = artpack.train(
            data.folder,
            Path(folder) / "run",
            overrides=(
                "batches.tokens=64",
                "batches.window_tokens=32",
                "batches.micro_tokens=32",
            ),
            layers=1,
            width=16,
            steps=2,
            held_out_tokens=200,
            precision="fp32",
            device=device,
        )
        return result.score.loss_sum_nats


JOBS: dict[str, Job] = {
    "score": score,
    **{name: adapting(name) for name in ("scalars", "blocks", "lora", "phased")},
    "audit": audit,
    "calibrate": calibrate,
    "train": train,
}


def main(names: list[str]) -> None:
    device, stream = install(), tiny_stream()
    torch.manual_seed(0)
    for name in names:
        model = tiny_model()
        # Other devices have no attention of one piece, nor has the CPU beside them.
        with sdpa_kernel(SDPBackend.MATH):
            here = JOBS[name](model, stream, "cpu")
            there = JOBS[name](tiny_model(), stream, device)
        assert np.array_equal(here, there), f"{name}: {here!r:.80} on the CPU, {there!r:.80} there"
