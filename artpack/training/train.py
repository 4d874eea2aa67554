"""A training run: from a recipe and tokens to a checkpoint that artpack packs."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from artpack.checkpoint.repository import CONFIG_NAME
from artpack.checkpoint.source import reason
from artpack.errors import CheckpointError, UsageError
from artpack.evaluation.scoring.summary import Score
from artpack.evaluation.tokens.shards import write_shard
from artpack.models.build import parameter_count
from artpack.models.config import ModelConfig
from artpack.stages import Config
from artpack.stages.finite import without_nan
from artpack.stages.progress import Progress
from artpack.system.atomic import write_atomically
from artpack.system.ranks import Ranks
from artpack.system.stopping import stop_flag
from artpack.training.candidates import Candidate, candidates, choose
from artpack.training.data import Data
from artpack.training.loop import Machine, Row, Run
from artpack.training.meter import UNITS, Meter
from artpack.training.run_state import (
    CHECKPOINT_NAME,
    STATE_NAME,
    read_state,
    write_checkpoint,
    write_state,
)
from artpack.training.settings import Training
from artpack.version import __version__

LOG_NAME = "train.json"
FURTHER_NAME = "further_tokens.bin"


@dataclass(frozen=True)
class PackedRun:
    """
    What the weights of a run were packed into.

    Attributes:
        artifact: The file.
        size_bytes: Its size.
        score: What it scores on held-out text, read back.
        notes: What was decided on the way, one line each.
    """

    artifact: Path
    size_bytes: int
    score: Score
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as data that JSON can carry."""
        return {
            "artifact": str(self.artifact),
            "bytes": self.size_bytes,
            "loss_nats": self.score.loss_nats.value,
            "bits_per_byte": self.score.bits_per_byte.value,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, repr=False, eq=False)
class TrainResult:
    """
    What a run ended with.

    Attributes:
        folder: Where the checkpoint is.
        config: Its model.
        kept: The weights that were written.
        scored: All candidates.
        log: One row a step.
        seconds: Of training, interruptions left out.
        packed: What they were packed into, where that was part of the run.
    """

    folder: Path
    config: ModelConfig
    kept: Candidate
    scored: tuple[Candidate, ...]
    log: tuple[Row, ...]
    seconds: float
    packed: PackedRun | None = None

    @property
    def score(self) -> Score:
        """What the weights that were written score on held-out text."""
        return self.kept.score

    def to_json(self) -> dict[str, Any]:
        """Return it as data that JSON can carry."""
        scores = {
            one.name: {
                "loss_nats": one.score.loss_nats.value,
                "bits_per_byte": one.score.bits_per_byte.value,
            }
            for one in self.scored
        }
        found = {"folder": str(self.folder), "kept": self.kept.name, "scores": scores}
        return found if self.packed is None else {**found, "packed": self.packed.to_json()}

    def __repr__(self) -> str:
        bits = self.score.bits_per_byte.value
        return (
            f"<TrainResult in {self.folder}: {parameter_count(self.config):,} parameters,"
            f" {len(self.log):,} steps, {bits:.4f} bits per byte ({self.kept.name})>"
        )


def train(
    training: Training,
    config: ModelConfig,
    data: Data,
    folder: Path,
    *,
    machine: Machine | None = None,
    resume: bool = False,
    save_seconds: float = 60.0,
    stop_step: int | None = None,
    further_tokens: int = 0,
    progress: Progress | None = None,
) -> TrainResult:
    """
    Train a model and write what is needed to pack and score it.

    Writes ``ckpt.pt``, ``config.json`` and ``train.json`` into the folder, and on the way
    ``state.pt``. A signal to stop is heeded after the step at hand, with the state written.

    Args:
        training: The settings.
        config: The model.
        data: What it reads.
        folder: Where to; made if it is missing.
        machine: What it computes with.
        resume: Go on from the folder's state.
        save_seconds: Write the state about so often.
        stop_step: Take no more steps than so many, of a run that would be longer.
        further_tokens: Write so many of the tokens that further steps would read, as a shard.
        progress: Told after every step, with loss and speed.

    Returns:
        What it ended with.

    Raises:
        UsageError: The folder has a state and ``resume`` is not set, or the files of
            another model, or the settings do not fit model or data.
        CheckpointError: The state is of another run.
        KeyboardInterrupt: A signal to stop came; the state has been written.

    """
    run = Run(training, config, data, machine or Machine())
    fingerprint = _fingerprint(training, config, data)
    _begin(run, folder, fingerprint, resume=resume)
    stop = training.schedule.steps if stop_step is None else stop_step
    if run.step > stop:
        raise UsageError(f"{folder}: the run is at step {run.step:,}, and was to stop at {stop:,}")
    saved, meter = time.monotonic(), Meter(data)
    with stop_flag() as stopped:
        while (done := run.done) < 1 and run.step < stop:
            row = run.advance(done)
            every = training.validate_steps
            if every and run.step % every == 0:
                held_out = choose(run, candidates(run, data.held_out)).score
                row["held_out_bits_per_byte"] = held_out.bits_per_byte.value
            if progress is not None:
                done = min(run.done, 1.0)
                progress("training", round(done * UNITS), UNITS, meter.read(row, done))
            if stopped.is_set() or time.monotonic() - saved > save_seconds:
                _save(run, folder, fingerprint)
                saved = time.monotonic()
            if stopped.is_set():
                raise KeyboardInterrupt
    _save(run, folder, fingerprint)
    scored = candidates(run, data.held_out)
    result = TrainResult(
        folder, config, choose(run, scored), tuple(scored), tuple(run.log), run.seconds
    )
    if Ranks.current().rank == 0:
        _write(result, run, data, folder)
        if further_tokens:
            write_shard(folder / FURTHER_NAME, run.loader.tokens_from(run.step, further_tokens))
    return result


def _begin(run: Run, folder: Path, fingerprint: str, *, resume: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    there = (folder / STATE_NAME).exists()
    if there and not resume:
        raise UsageError(f"{folder}: a run is there already: resume it, or give another folder")
    others = [name for name in (CHECKPOINT_NAME, CONFIG_NAME, LOG_NAME) if (folder / name).exists()]
    if others and not there:
        raise UsageError(f"{folder / others[0]}: not of this run: give another folder")
    if resume and there:
        _go_on(run, folder, read_state(folder, fingerprint=fingerprint))


def _go_on(run: Run, folder: Path, state: dict[str, Any]) -> None:
    try:
        run.load_state_dict(state)
    except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder / STATE_NAME}: does not fit its run ({reason(error)}): give another folder"
        ) from error


def _save(run: Run, folder: Path, fingerprint: str) -> None:
    if Ranks.current().rank == 0:
        write_state(folder, {"fingerprint": fingerprint, **run.state_dict()})


def _fingerprint(training: Training, config: ModelConfig, data: Data) -> str:
    what = json.dumps([training.to_json(), config.to_json(), data.sha256], sort_keys=True)
    return hashlib.sha256(what.encode()).hexdigest()


def _write(result: TrainResult, run: Run, data: Data, folder: Path) -> None:
    # What is not averaged, were it not floating point, stays as the model has it.
    write_checkpoint(folder, {**run.model.state_dict(), **result.kept.weights})
    window = {"train_window_tokens": run.training.batches.window_tokens}
    _write_json(folder / CONFIG_NAME, {**run.config.to_json(), **window})
    _write_json(folder / LOG_NAME, _report(result, run, data))


def _report(result: TrainResult, run: Run, data: Data) -> dict[str, Any]:
    return {
        "training": run.training.to_json(),
        "machine": asdict(run.machine),
        "processes": Ranks.current().world,
        "parameters": parameter_count(run.config),
        "data": {"tokens": data.tokens, "sha256": data.sha256},
        "seconds": round(result.seconds, 1),
        "kept": result.kept.name,
        "scores": {one.name: _score_json(one) for one in result.scored},
        "versions": {"artpack": __version__, "torch": torch.__version__},
        "log": list(result.log),
    }


def _score_json(candidate: Candidate) -> Config:
    score = candidate.score
    return {
        "loss_nats": score.loss_nats.value,
        "bits_per_byte": score.bits_per_byte.value,
        "bits_per_byte_stderr": score.bits_per_byte.stderr,
        "tokens": score.coverage.scored,
        "bytes": score.bytes,
    }


def _write_json(path: Path, value: object) -> None:
    write_atomically(path, [json.dumps(without_nan(value), indent=1).encode()])
