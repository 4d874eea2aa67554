"""The laws of every strategy: score first, learn, forget nothing, and leave the model alone."""

import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from artpack.errors import UsageError
from artpack.evaluation.scoring.score import score
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.adaptation import Adapted, adapt
from artpack.evaluation.ttt.attribution import at_rate_zero, attribute
from artpack.evaluation.ttt.recipe_windows import plan_of
from artpack.evaluation.ttt.saved_state import Keeper
from artpack.evaluation.ttt.second_pass import score_again
from artpack.models import GPT
from artpack.runners.settings import Settings
from tests.evaluation.ttt.conftest import SETS, VOCAB, tiny_recipe

STRATEGIES = sorted(SETS)


class Distributions:
    """Keeps every distribution."""

    def __init__(self) -> None:
        self.rows: dict[int, NDArray[np.float32]] = {}

    def __call__(self, targets: NDArray[np.int64], logits: Tensor) -> None:
        rows = logits.log_softmax(-1).numpy()
        self.rows.update(zip(targets.tolist(), rows, strict=True))


def numbers(adapted: Adapted) -> Any:
    curve = [(p.scored, p.loss_nats, p.rate, p.temperature) for p in adapted.curve]
    return adapted.score, curve, adapted.updates, adapted.journal.entries().tolist()


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_target_is_scored_once_and_before_anything_learns_from_it(
    name: str, model: GPT, stream: Stream
) -> None:
    for more in ((), ("fit_temperature=true",)):
        adapted = adapt(model, stream, tiny_recipe(name, *more))
        assert adapted.journal.faults(stream.ids.size - 1) == []
        assert adapted.score.coverage.scored == stream.ids.size - 1
        assert adapted.updates


@pytest.mark.parametrize("name", STRATEGIES)
def test_learning_helps_on_a_stream_that_repeats_itself(
    name: str, model: GPT, stream: Stream
) -> None:
    recipe = tiny_recipe(name)
    still = adapt(model, stream, at_rate_zero(recipe)).score.loss_nats.value
    assert adapt(model, stream, recipe).score.loss_nats.value < still - 0.01


@pytest.mark.parametrize("name", STRATEGIES)
def test_at_rate_zero_the_loop_scores_what_the_windows_do(
    name: str, model: GPT, stream: Stream
) -> None:
    recipe = at_rate_zero(tiny_recipe(name))
    plain = score(model, stream.ids, plan_of(recipe, stream), stream.byte_counts)
    looped = adapt(model, stream, recipe).score
    assert looped.loss_nats.value == pytest.approx(plain.loss_nats.value, rel=1e-6)
    assert looped.coverage == plain.coverage
    assert looped.bytes == plain.bytes


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_distribution_depends_on_what_comes_later(name: str, model: GPT, stream: Stream) -> None:
    recipe, cut = tiny_recipe(name, "fit_temperature=true"), 150
    changed = stream.ids.copy()
    # Where documents start is known beforehand; what they say is not.
    later = (np.arange(changed.size) > cut) & (changed != 1)
    changed[later] = 2 + (changed[later] + 3) % (VOCAB - 2)
    seen = Distributions(), Distributions()
    for ids, observer in zip((stream.ids, changed), seen, strict=True):
        adapt(model, Stream(ids, stream.byte_counts), recipe, observer=observer)
    ours, theirs = seen
    assert sorted(ours.rows) == list(range(stream.ids.size - 1))
    assert all(np.array_equal(ours.rows[t], theirs.rows[t]) for t in range(cut + 1))
    assert not np.array_equal(ours.rows[cut + 20], theirs.rows[cut + 20])


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_model_that_is_given_stays_as_it_is(name: str, model: GPT, stream: Stream) -> None:
    before = {key: value.clone() for key, value in model.state_dict().items()}
    adapted = adapt(model, stream, tiny_recipe(name))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    after = adapted.model.state_dict()
    moved = {key for key, value in before.items() if not torch.equal(value, after[key])}
    matrices = {key for key in moved if key.endswith(".weight")}
    assert bool(moved) == (name != "lora")
    assert bool(matrices) == (name in {"blocks", "phased"})


class UnpluggedError(Exception):
    """Somebody pulled the plug."""


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_interrupted_evaluation_ends_as_if_it_had_not_been(
    name: str, model: GPT, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keeper, "is_due", lambda _: True)
    recipe = tiny_recipe(name, "fit_temperature=true")
    if name == "phased":
        recipe = tiny_recipe(name, "fit_temperature=true", "keep_inputs=true")
    whole, state = adapt(model, stream, recipe), tmp_path / "state"
    for _ in range(3):
        rests: list[int] = []

        def progress(
            phase: str, done: int, total: int, note: str = "", rests: list[int] = rests
        ) -> None:
            rests.append(done)
            if len(rests) == 2:
                raise UnpluggedError

        with pytest.raises(UnpluggedError):
            adapt(model, stream, recipe, state=state, progress=progress)
        assert state.exists()
    resumed = adapt(model, stream, recipe, state=state)
    assert numbers(resumed) == numbers(whole)
    assert (resumed.resumed_steps > 0, whole.resumed_steps) == (True, 0)
    assert not state.exists()
    weights = resumed.model.state_dict()
    assert all(torch.equal(weights[key], t) for key, t in whole.model.state_dict().items())


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_stop_saves_the_state_where_the_evaluation_rests(
    kind: signal.Signals, model: GPT, stream: Stream, tmp_path: Path
) -> None:
    """Though the last time was less than 30 seconds ago."""
    recipe, state = tiny_recipe("scalars"), tmp_path / "state"
    whole, before = adapt(model, stream, recipe), signal.getsignal(kind)
    rests: list[tuple[str, int, int, str]] = []

    def progress(phase: str, done: int, total: int, note: str = "") -> None:
        rests.append((phase, done, total, note))
        if len(rests) == 2:
            os.kill(os.getpid(), kind)

    with pytest.raises(KeyboardInterrupt):
        adapt(model, stream, recipe, state=state, progress=progress)
    assert (len(rests), state.exists()) == (2, True)
    assert signal.getsignal(kind) == before
    resumed = adapt(model, stream, recipe, state=state)
    assert numbers(resumed) == numbers(whole)
    scored, bits = resumed.curve[1].scored, resumed.curve[1].bits_per_byte
    assert rests[1][:3] == ("scoring", scored, stream.ids.size - 1)
    assert rests[1][3].startswith(f"{bits:.4f} bits per byte so far")


def test_the_state_of_another_evaluation_is_refused(
    model: GPT, stream: Stream, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    Keeper(state, {"recipe": "another"}).write(1, {})
    with pytest.raises(UsageError, match=r"state of another evaluation: recipe, .* differ"):
        adapt(model, stream, tiny_recipe("scalars"), state=state)
    state.write_bytes(b"no state at all")
    with pytest.raises(UsageError, match="not the state of an evaluation"):
        adapt(model, stream, tiny_recipe("scalars"), state=state)


def kept_state(model: GPT, stream: Stream, path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Interrupt an evaluation; return what it kept."""

    def progress(phase: str, done: int, total: int, note: str = "") -> None:
        if done >= stream.ids.size // 2:
            raise UnpluggedError

    with pytest.raises(UnpluggedError):
        adapt(model, stream, tiny_recipe("scalars"), state=path, progress=progress)
    with safe_open(path, framework="pt") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@pytest.mark.parametrize("what", ["sums", "journal", "curve", "weights", "steps", "missing"])
def test_an_edited_state_is_refused(
    what: str, model: GPT, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keeper, "is_due", lambda _: True)
    state = tmp_path / "state"
    metadata, tensors = kept_state(model, stream, state)
    save_file(tensors, state, metadata)
    assert adapt(model, stream, tiny_recipe("scalars"), state=state).resumed_steps > 0
    name = next(name for name in tensors if what in name or what in ("steps", "missing"))
    if what == "steps":
        metadata["steps"] = str(int(metadata["steps"]) + 1)
    elif what == "missing":
        del tensors[name]
    else:
        tensors[name] = tensors[name] * 0.99 if what != "journal" else tensors[name].flip(0)
    save_file(tensors, state, metadata)
    with pytest.raises(UsageError, match="was changed since the evaluation wrote it"):
        adapt(model, stream, tiny_recipe("scalars"), state=state)
    del metadata["sha256"]
    save_file(tensors, state, metadata)
    with pytest.raises(UsageError, match="not the state of an evaluation"):
        adapt(model, stream, tiny_recipe("scalars"), state=state)


def test_a_state_without_its_parts_is_refused(
    model: GPT, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    monkeypatch.setattr(Keeper, "read", lambda _: (1, {}))
    with pytest.raises(UsageError, match="does not fit this evaluation"):
        adapt(model, stream, tiny_recipe("scalars"), state=state)


def test_a_second_pass_is_better_and_no_journal_of_it_is_sound(model: GPT, stream: Stream) -> None:
    recipe = tiny_recipe("blocks")
    adapted = adapt(model, stream, recipe)
    again = score_again(adapted, stream, recipe)
    assert again.loss_nats.value < adapted.score.loss_nats.value
    assert {fault.why for fault in adapted.journal.faults(stream.ids.size - 1)} == {"scored again"}
    with pytest.raises(UsageError, match="keeps nothing of what it has learned"):
        score_again(adapted, stream, tiny_recipe("lora"))


def test_attribution_takes_one_step_at_a_time(model: GPT, stream: Stream) -> None:
    rows = attribute(model, stream, tiny_recipe("scalars"))
    assert [row.what for row in rows] == [
        "windows side by side",
        "the recipe's windows",
        "its loop at learning rate 0",
        "learning",
        "learning, temperature fitted on what was scored",
    ]
    assert rows[0].change is None
    for before, after in pairwise(rows):
        change = after.score.bits_per_byte.value - before.score.bits_per_byte.value
        assert after.change is not None
        assert after.change.value == pytest.approx(change, abs=1e-12)
    assert rows[2].change is not None
    assert rows[2].change.value == pytest.approx(0, abs=1e-6)


def test_what_cannot_adapt_is_said(model: GPT, stream: Stream) -> None:
    with pytest.raises(UsageError, match="no tensor of this model adapts"):
        adapt(model, stream, tiny_recipe("scalars", "tensors=['nothing']"))
    with pytest.raises(UsageError, match="chunk_tokens 8 is less than a window, 16"):
        adapt(model, stream, tiny_recipe("scalars", "chunk_tokens=8"))
    with pytest.raises(UsageError, match="chunk_tokens 32 is more than a window, 16"):
        adapt(model, stream, tiny_recipe("lora", "chunk_tokens=32"))
    with pytest.raises(UsageError, match="fewer than two tokens"):
        adapt(model, stream.first(0), tiny_recipe("scalars"))


@pytest.mark.parametrize("name", STRATEGIES)
def test_bfloat16_learns_about_the_same(name: str, model: GPT, stream: Stream) -> None:
    recipe = tiny_recipe(name)
    exact = adapt(model, stream, recipe).score.loss_nats.value
    rounded = adapt(model, stream, recipe, settings=Settings(precision="bf16"))
    assert rounded.score.loss_nats.value == pytest.approx(exact, abs=0.02)
    assert all(p.dtype is torch.float32 for p in rounded.model.parameters())


@pytest.mark.cuda
@pytest.mark.parametrize("name", STRATEGIES)
def test_cuda_learns_what_the_cpu_does(name: str, model: GPT, stream: Stream) -> None:
    recipe = tiny_recipe(name)
    exact = adapt(model, stream, recipe).score.loss_nats.value
    found = adapt(model.cuda(), stream, recipe, settings=Settings(device="cuda"))
    assert found.score.loss_nats.value == pytest.approx(exact, abs=1e-3)
