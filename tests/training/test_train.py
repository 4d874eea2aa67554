"""Runs from beginning to end: they learn, go on exactly, stop when told, write what is packed."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from artpack.errors import CheckpointError, UsageError
from artpack.evaluation.tokens.shards import read_shard
from artpack.models import ModelConfig, read_config
from artpack.recipes import load_recipe
from artpack.training.candidates import packed_model
from artpack.training.data import Data
from artpack.training.loop import Machine, Row, Run
from artpack.training.run_state import read_state, write_state
from artpack.training.settings import Qat, Training
from artpack.training.train import train

from .conftest import FP32


def losses(log: "list[Row] | tuple[Row, ...]") -> list[float]:
    return [row["loss"] for row in log]


def test_the_loss_falls_and_the_checkpoint_is_the_best_average(
    training: Training, config: ModelConfig, data: Data, tmp_path: Path
) -> None:
    longer = replace(training.scaled(25), select="best")
    result = train(longer, config, data, tmp_path, machine=FP32)
    found = losses(result.log)
    assert found[0] > 5.5
    assert found[-1] < 0.75 * found[0]
    best = min(one.score.loss_nats.value for one in result.scored)
    assert result.kept.score.loss_nats.value == best
    assert [one.name for one in result.scored] == ["ema", "hma", "swa"]
    weights = torch.load(tmp_path / "ckpt.pt", weights_only=True)
    assert weights["tok_emb.weight"].equal(result.kept.weights["tok_emb.weight"])
    assert read_config(json.loads((tmp_path / "config.json").read_text())) == config
    report = json.loads((tmp_path / "train.json").read_text())
    assert losses(report["log"]) == found
    assert report["scores"][report["kept"]]["loss_nats"] == best
    assert Training.from_json(report["training"]) == longer


@pytest.mark.parametrize("machine", [FP32, replace(FP32, precision="bf16")])
def test_going_on_is_the_same_as_not_having_stopped(
    training: Training, config: ModelConfig, data: Data, tmp_path: Path, machine: Machine
) -> None:
    straight = Run(training, config, data, machine)
    for _ in range(6):
        straight.advance(straight.done)
    first = Run(training, config, data, machine)
    for _ in range(3):
        first.advance(first.done)
    write_state(tmp_path, {"fingerprint": "same", **first.state_dict()})
    second = Run(training, config, data, machine)
    second.load_state_dict(read_state(tmp_path, fingerprint="same"))
    while second.done < 1:
        second.advance(second.done)
    assert losses(second.log) == losses(straight.log)
    for name, weight in straight.model.state_dict().items():
        assert second.model.state_dict()[name].equal(weight), name
    for ours, theirs in zip(second.averages, straight.averages, strict=True):
        assert str(ours.weights()) == str(theirs.weights())


def test_a_signal_stops_after_the_step_and_the_run_goes_on(
    training: Training, config: ModelConfig, data: Data, tmp_path: Path
) -> None:
    straight = train(training, config, data, tmp_path / "a", machine=FP32)

    def interrupt(phase: str, done: int, total: int, note: str = "") -> None:
        if note.startswith("step 2: loss "):
            assert (phase, done) == ("training", round(2 / training.schedule.steps * total))
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(training, config, data, tmp_path / "b", machine=FP32, progress=interrupt)
    with pytest.raises(UsageError, match="a run is there already: resume it"):
        train(training, config, data, tmp_path / "b", machine=FP32)
    with pytest.raises(CheckpointError, match="of a run with another recipe"):
        train(replace(training, seed=2), config, data, tmp_path / "b", machine=FP32, resume=True)
    result = train(training, config, data, tmp_path / "b", machine=FP32, resume=True)
    assert losses(result.log) == losses(straight.log)
    assert (tmp_path / "a/ckpt.pt").read_bytes() == (tmp_path / "b/ckpt.pt").read_bytes()


def test_a_run_may_stop_before_its_end_and_says_what_comes_next(
    training: Training, config: ModelConfig, data: Data, tmp_path: Path
) -> None:
    straight = train(training, config, data, tmp_path / "a", machine=FP32)
    first = train(
        training, config, data, tmp_path / "b", machine=FP32, stop_step=4, further_tokens=500
    )
    assert losses(first.log) == losses(straight.log)[:4]
    further = read_shard(tmp_path / "b" / "further_tokens.bin")
    loader = Run(training, config, data, FP32).loader
    assert further.size == 512
    assert further[:64].tolist() == loader.batch(4, 0).ids.flatten().tolist()
    with pytest.raises(UsageError, match="the run is at step 4, and was to stop at 2"):
        train(training, config, data, tmp_path / "b", machine=FP32, stop_step=2, resume=True)
    second = train(training, config, data, tmp_path / "b", machine=FP32, resume=True)
    assert losses(second.log) == losses(straight.log)


def test_a_state_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(b"no state")
    with pytest.raises(CheckpointError, match=r"state\.pt: not a state of a run"):
        read_state(tmp_path, fingerprint="")


def test_the_clock_ends_a_run(
    training: Training, config: ModelConfig, data: Data, tmp_path: Path
) -> None:
    endless = replace(training, schedule=replace(training.schedule, steps=10**6, seconds=0.3))
    result = train(endless, config, data, tmp_path, machine=FP32)
    assert 0.3 <= result.seconds < 5
    assert result.log[-1]["factor"] < 1


def test_quantized_training_scores_and_charges_what_is_packed(
    training: Training, config: ModelConfig, data: Data
) -> None:
    qat = Qat("int4", below_factor=0.7, rate_weight=0.1, rate_share=0.34)
    run = Run(replace(training.scaled(12), qat=qat), config, data, FP32)
    while run.done < 1:
        run.advance(run.done)
    charged = [row["step"] for row in run.log if "bits_per_weight" in row]
    assert charged == [9, 10, 11, 12]
    weights = run.model.state_dict()
    model = packed_model(run, weights, run.spec)
    rule = load_recipe("int4").rules[0]
    assert rule.quantizer is not None
    raw = weights["blocks.1.mlp.fc.weight"]
    packed = rule.quantizer.dequantize(rule.quantizer.quantize(raw))
    assert model.state_dict()["blocks.1.mlp.fc.weight"].equal(packed)


def test_late_quantization_changes_nothing_before(
    training: Training, config: ModelConfig, data: Data
) -> None:
    late = replace(training, qat=Qat("quinary", below_factor=0.5))
    runs = [Run(settings, config, data, FP32) for settings in (training, late)]
    for run in runs:
        while run.done < 1:
            run.advance(run.done)
    plain, quantized = (losses(run.log) for run in runs)
    rates = [row["factor"] for row in runs[1].log]
    start = next(step for step, rate in enumerate(rates) if rate <= 0.5 and step >= 2)
    assert plain[:start] == quantized[:start]
    assert plain[start] != quantized[start]


def test_held_out_text_is_scored_on_the_way(
    training: Training, config: ModelConfig, data: Data, tmp_path: Path
) -> None:
    result = train(replace(training, validate_steps=4), config, data, tmp_path, machine=FP32)
    assert [row["step"] for row in result.log if "held_out_bits_per_byte" in row] == [4]
