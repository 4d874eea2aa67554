"""Candidate weights of a run, kept by how well they score once packed."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from artpack.evaluation.scoring.score import score
from artpack.evaluation.scoring.summary import Score
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.windows.placements import place
from artpack.models.build import build
from artpack.models.gpt import GPT
from artpack.recipes.spec import PlanSpec
from artpack.runners.settings import Settings
from artpack.training.averaging import float_weights
from artpack.training.loop import Run
from artpack.training.qat import packed_weights, store


@dataclass(frozen=True)
class Candidate:
    """
    Weights that may be kept.

    Attributes:
        name: ``last``, or the kind of average.
        weights: All tensors of the checkpoint.
        score: On the held-out text, as the packed file gives them back if the run trains
            for one.
    """

    name: str
    weights: dict[str, Tensor]
    score: Score


def candidates(run: Run, held_out: Stream) -> list[Candidate]:
    """
    Score the weights that a run could end with.

    Args:
        run: At its end, or on the way.
        held_out: Tokens to score.

    Returns:
        The averages that there are, in the recipe's order; the last weights if none.

    """
    named: list[tuple[str, dict[str, Tensor] | None]] = [
        (settings.kind, average.weights())
        for settings, average in zip(run.training.averages, run.averages, strict=True)
    ]
    found = [(name, weights) for name, weights in named if weights is not None]
    found = found or [("last", float_weights(run.model))]
    return [
        Candidate(name, dict(weights), score_weights(run, weights, held_out))
        for name, weights in found
    ]


def choose(run: Run, scored: list[Candidate]) -> Candidate:
    """
    Choose what is kept.

    Args:
        run: Whose settings say how.
        scored: The candidates, in the recipe's order.

    Returns:
        One of them.

    """
    if run.training.select == "last":
        return scored[-1]
    return min(scored, key=lambda candidate: candidate.score.loss_nats.value)


def score_weights(run: Run, weights: Mapping[str, Tensor], held_out: Stream) -> Score:
    """
    Score weights on the held-out text in float32.

    Args:
        run: Whose model and packing recipe they are scored with.
        weights: All tensors of the checkpoint.
        held_out: Tokens to score.

    Returns:
        Loss and bits per byte, in windows of the length trained with.

    """
    model = packed_model(run, weights, run.spec)
    return score_model(model, held_out, run.training.batches.window_tokens, run.machine.device)


def score_model(model: GPT, held_out: Stream, window_tokens: int, device: str) -> Score:
    """
    Score a model on the held-out text in float32.

    Args:
        model: On the device.
        held_out: Tokens to score.
        window_tokens: Length of the windows, side by side.
        device: As torch names it.

    Returns:
        Loss and bits per byte.

    """
    plan = place("sequential", held_out.ids, window_tokens, window_tokens, bos_id=held_out.bos_id)
    return score(
        model,
        held_out.ids,
        plan,
        held_out.byte_counts,
        settings=Settings(device),
        bos_id=held_out.bos_id,
    )


@torch.no_grad()
def packed_model(run: Run, weights: Mapping[str, Tensor], spec: PlanSpec | None) -> GPT:
    """
    Build a model out of weights, as a packed file would give them back.

    Args:
        run: Whose model it is.
        weights: All tensors of the checkpoint.
        spec: The packing recipe; None takes the weights as they are.

    Returns:
        The model, on the run's device.

    """
    if spec is not None:
        weights = packed_weights(run.config, weights, store(run.config, weights, spec))
    return build(run.config, weights).to(run.machine.device)
