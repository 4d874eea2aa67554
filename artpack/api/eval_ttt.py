"""Scores of a model that learns while it is scored: test-time training."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from artpack.api.eval_options import TttOptions, WindowOptions
from artpack.api.eval_result import EvalScores, TttReport
from artpack.api.eval_run import EvalRun
from artpack.errors import UsageError
from artpack.evaluation.ttt.adaptation import Adapted, adapt
from artpack.evaluation.ttt.attribution import attribute
from artpack.evaluation.ttt.load import DEFAULT_RECIPE, Named, load_recipe, stored_recipe
from artpack.evaluation.ttt.recipe import AnyRecipe, OverStream, placed
from artpack.evaluation.ttt.recipe_windows import plan_of
from artpack.evaluation.ttt.second_pass import score_again
from artpack.evaluation.ttt.strategy import Observer
from artpack.models import GPT


def choose_ttt(options: TttOptions, run: EvalRun) -> Named:
    """
    Choose a recipe of test-time training, with windows where it leaves them open.

    Args:
        options: What was asked for.
        run: The evaluation.

    Returns:
        The recipe.

    Raises:
        RecipeError: There is no such recipe, or it is wrong.

    """
    asked, carried, faithful = options.recipe, run.inputs.ttt, run.faithful
    if asked is None and carried is not None:
        asked = carried
    if isinstance(asked, Mapping):
        named = stored_recipe(dict(asked), options.overrides, faithful=faithful)
    else:
        named = load_recipe(str(asked or DEFAULT_RECIPE), options.overrides, faithful=faithful)
    windows = run.windows
    return replace(named, recipe=placed(named.recipe, windows.size, windows.stride))


def score_learning(
    options: TttOptions,
    run: EvalRun,
    *,
    observer: Observer | None = None,
    mixer: str | None = None,
) -> EvalScores:
    """
    Score a model that learns on the way, or say where its gain comes from.

    Args:
        options: How it learns.
        run: One model of ours, and tokens.
        observer: Shown every distribution.
        mixer: With ``attribute``: how n-grams are mixed in at last.

    Returns:
        The scores.

    Raises:
        RecipeError: There is no such recipe, or it is wrong.
        UsageError: The model is not one of ours, or options do not go together.
        KeyboardInterrupt: A signal to stop came; with a state, it has been written.

    """
    run.check()
    model = _one_model(run)
    named, started = choose_ttt(options, run), time.monotonic()
    if options.attribute:
        scores = _attribute(model, named, run, mixer)
    else:
        scores = _adapt(model, named, options, run, observer)
    return replace(
        scores,
        recipe=named,
        stream_tokens=int(run.inputs.stream.ids.size),
        seconds=time.monotonic() - started,
    )


def _one_model(run: EvalRun) -> GPT:
    if run.windows.placement != WindowOptions().placement:
        raise UsageError("`ttt` places the windows itself: leave `placement` out")
    models = run.inputs.models
    if len(models) != 1 or not isinstance(models[0], GPT):
        raise UsageError("`ttt` takes one model of artpack's own, no `baseline` or `compiled`")
    return models[0]


def _attribute(model: GPT, named: Named, run: EvalRun, mixer: str | None) -> EvalScores:
    rows = attribute(
        model,
        run.stream,
        named.recipe,
        mixer=mixer,
        settings=run.settings,
        progress=run.progress,
    )
    return EvalScores(attribution=tuple(rows))


def _adapt(
    model: GPT, named: Named, options: TttOptions, run: EvalRun, observer: Observer | None
) -> EvalScores:
    stream, recipe = run.stream, named.recipe
    adapted = adapt(
        model,
        stream,
        recipe,
        settings=run.settings,
        progress=run.progress,
        observer=observer,
        state=None if options.state is None else Path(options.state),
    )
    report = _report(adapted, stream.ids.size - 1)
    if options.two_pass:
        again = score_again(adapted, stream, recipe, settings=run.settings, progress=run.progress)
        report = replace(report, second_pass=again)
    return EvalScores(
        score=adapted.score,
        ttt=report,
        recipe_windows=_windows(recipe),
        last_window_tokens=int(plan_of(recipe, stream).windows[-1, 1]),
    )


def _report(adapted: Adapted, targets: int) -> TttReport:
    faults = adapted.journal.faults(targets)
    return TttReport(
        score_first=not any(fault.why.startswith("learned") for fault in faults),
        updates=len(adapted.updates),
        resumed_steps=adapted.resumed_steps,
        curve=tuple(adapted.curve),
    )


def _windows(recipe: AnyRecipe) -> WindowOptions:
    placement, stride = "documents", recipe.chunk_tokens
    if isinstance(recipe, OverStream):
        assert recipe.stride_tokens is not None
        placement, stride = recipe.placement, recipe.stride_tokens
    assert recipe.window_tokens is not None
    return WindowOptions(
        placement=placement, window_tokens=recipe.window_tokens, stride_tokens=stride
    )
