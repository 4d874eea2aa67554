"""
Attribution of a recipe's gain: the same tokens with one thing more each time.

Published gains mix windows, temperature and learning; here each has a row of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from artpack.evaluation.ngram.mixing import MIXERS
from artpack.evaluation.scoring.estimate import Estimate, Sums, bootstrap_errors
from artpack.evaluation.scoring.evaluators import mix
from artpack.evaluation.scoring.observation import Recorder
from artpack.evaluation.scoring.score import score_documents
from artpack.evaluation.scoring.summary import (
    Score,
    check_losses,
    document_sums,
    score_numbers,
    score_of_sums,
)
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.adaptation import adapt
from artpack.evaluation.ttt.recipe import AnyRecipe, OptimizerSettings, Phased
from artpack.evaluation.ttt.recipe_windows import plan_of
from artpack.evaluation.ttt.strategy import Observer
from artpack.evaluation.windows.plan import Coverage
from artpack.evaluation.windows.sliding import sequential
from artpack.models import GPT
from artpack.runners.settings import REFERENCE, Settings
from artpack.stages.progress import Progress, renamed

Measured: TypeAlias = tuple[Sums, Coverage]


@dataclass(frozen=True)
class Row:
    """
    One way to score the tokens.

    Attributes:
        what: The way, in words.
        score: What it scores.
        change: Bits per byte more than in the row before, with the error of the paired
            difference; None in the first row.
    """

    what: str
    score: Score
    change: Estimate | None


def attribute(
    model: GPT,
    stream: Stream,
    recipe: AnyRecipe,
    *,
    mixer: str | None = None,
    settings: Settings = REFERENCE,
    progress: Progress | None = None,
) -> list[Row]:
    """
    Score a stream in ways that differ by one thing from each to the next.

    Args:
        model: On ``settings.device``.
        stream: Tokens and their bytes.
        recipe: The recipe; window and stride are given.
        mixer: How n-grams are mixed in, a key of
            :data:`~artpack.evaluation.ngram.mixing.MIXERS`; None for not at all.
        settings: Device, precision and batch size.
        progress: Told how far each row is; the words for the row are the phase.

    Returns:
        Windows side by side; the recipe's windows; its loop at rate 0; the recipe at the
        checkpoint's own temperature; the recipe at its temperature, or a fitted one; that
        with n-grams mixed in.

    """
    stream = _whole(stream, recipe)
    rows: list[Row] = []
    before: Sums | None = None
    for what, measure in _ways(model, stream, recipe, mixer, settings):
        sums, coverage = measure(renamed(progress, what))
        change = None if before is None else difference(before, sums)
        rows.append(Row(what, score_of_sums(sums, coverage), change))
        before = sums
    return rows


def _ways(
    model: GPT, stream: Stream, recipe: AnyRecipe, mixer: str | None, settings: Settings
) -> Iterator[tuple[str, Callable[[Progress | None], Measured]]]:
    def still(plan: Any) -> Callable[[Progress | None], Measured]:
        return lambda progress: (
            score_documents(model, stream, plan, settings=settings, progress=progress),
            plan.coverage(),
        )

    def loop(
        asked: AnyRecipe, observer: Observer | None = None
    ) -> Callable[[Progress | None], Measured]:
        def run(progress: Progress | None) -> Measured:
            adapted = adapt(
                model, stream, asked, settings=settings, progress=progress, observer=observer
            )
            return adapted.sums, adapted.score.coverage

        return run

    def mixed(name: str) -> Measured:
        seen = mix(recorder.observed(settings.device), stream, MIXERS[name]())
        targets = np.flatnonzero(seen.times)
        losses = -seen.log_probs[targets, None]
        check_losses(targets, losses)
        sums = document_sums(stream.ids, stream.byte_counts, stream.bos_id, targets, losses)
        return sums[sums[:, 0] > 0], plan_of(recipe, stream).coverage()

    assert recipe.window_tokens is not None
    plain = replace(recipe, temperature=None, fit_temperature=False)
    yield "windows side by side", still(sequential(stream.ids.size - 1, recipe.window_tokens))
    yield "the recipe's windows", still(plan_of(recipe, stream))
    yield "its loop at learning rate 0", loop(at_rate_zero(plain))
    yield "learning", loop(plain)
    recorder = Recorder(stream.ids, (), model.config.vocab_size)
    observer = None if mixer is None else recorder
    if recipe.temperature is None or recipe.fit_temperature:
        fitted = replace(recipe, fit_temperature=True)
        yield "learning, temperature fitted on what was scored", loop(fitted, observer)
    else:
        yield f"learning, temperature {recipe.temperature:g}", loop(recipe, observer)
    if mixer is not None:
        yield "the same, n-grams mixed in", lambda _: mixed(mixer)


def at_rate_zero(recipe: AnyRecipe) -> AnyRecipe:
    """
    Take the learning out of a recipe and leave everything else.

    Args:
        recipe: The recipe.

    Returns:
        The recipe with all learning rates 0.

    """
    still = replace(recipe, rule=_still(recipe.rule))
    return replace(still, shared=_still(still.shared)) if isinstance(still, Phased) else still


def _still(rule: OptimizerSettings) -> OptimizerSettings:
    return replace(rule, lr=0.0, warmup_lr=0.0)


def _whole(stream: Stream, recipe: AnyRecipe) -> Stream:
    """Return what of a stream the recipe scores, so that every row scores the same tokens."""
    scored = np.flatnonzero(plan_of(recipe, stream).times_scored())
    return stream.first(int(scored[-1]) + 1)


def difference(before: Sums, after: Sums) -> Estimate:
    """
    Return how many bits a byte the second of two scores takes more.

    Args:
        before: Tokens, bytes and nats of each document, float64 (documents, 3).
        after: The same documents otherwise scored.

    Returns:
        The difference, and its error when documents are resampled in pairs.

    """
    both = np.concatenate([before, after], axis=1)

    def numbers(total: Sums) -> Sums:
        difference: Sums = (
            score_numbers(total[..., 3:], 2)[..., 1:] - score_numbers(total[..., :3], 2)[..., 1:]
        )
        return difference

    return Estimate(float(numbers(both.sum(0))[0]), bootstrap_errors(both, numbers)[0])
