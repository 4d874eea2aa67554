"""The job of ``artpack.calibrate``: what quantizers need to know of the data."""

import os
from dataclasses import replace
from typing import Any

from artpack.api.sources import Opened, WeightSource, build_model, open_source
from artpack.api.tokens import LIMIT_TOKENS, TokenSource, choose_window, read_windows
from artpack.calibration.collect import CALIBRATION
from artpack.calibration.collect import calibrate as collect_calibration
from artpack.calibration.file import Calibration
from artpack.calibration.windows import Windows
from artpack.checkpoint.selection import select
from artpack.errors import UsageError
from artpack.evaluation.tokens.stream import read_tokenizer
from artpack.models import GPT, ModelConfig
from artpack.models.find import choose_model
from artpack.runners.gpt import GptRunner
from artpack.runners.self_generate import self_generate
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress


def calibrate(
    source: WeightSource,
    tokens: TokenSource | None = None,
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    self_generated: int | None = None,
    temperature: float = 1.0,
    limit_tokens: int = LIMIT_TOKENS,
    window_tokens: int | None = None,
    fisher: bool = True,
    seed: int = 0,
    model: ModelConfig | str | None = None,
    key: str | None = None,
    strip_prefix: str | None = None,
    settings: Settings = CALIBRATION,
    progress: Progress | None = None,
) -> Calibration:
    """
    Run a model over tokens and collect what its quantizers need to know of them.

    In a torch process group each process runs its share and all return the same.

    Args:
        source: Weights of a model that artpack can run.
        tokens: What to run: files, or an array of ids (tokens,).
        tokenizer: SentencePiece model of the tokens; text needs it.
        self_generated: Instead of ``tokens``, run so many that the model writes itself.
        temperature: What it writes them at, above 0.
        limit_tokens: Run no more than this, in windows spread evenly over the tokens.
        window_tokens: Tokens a window; by default what the model was trained with.
        fisher: Collect gradients too; without them it takes half the time.
        seed: Of everything that is drawn.
        model: The weights' model, a config, preset or file; None to find it.
        key: Where in a file of ``torch.save`` the weights are.
        strip_prefix: What to take off their names.
        settings: Device, precision and tokens a pass.
        progress: Told how far it is.

    Returns:
        The calibration; it belongs to these weights.

    Raises:
        CheckpointError: The weights are not usable.
        UsageError: The model is not known, or the tokens are not for it.

    """
    if (tokens is None) == (self_generated is None):
        raise UsageError("give what to run: either `tokens` or `self_generated`")
    with open_source(source, key=key, strip_prefix=strip_prefix) as opened:
        config, notes = _known_model(opened, model)
        size, more = choose_window(window_tokens, config, opened.path)
        built = build_model(opened.checkpoint, config, settings.device)
        if tokens is not None:
            windows = read_windows(
                tokens, config, size, tokenizer=tokenizer, limit_tokens=limit_tokens
            )
        else:
            assert self_generated is not None
            bos_id = 1 if tokenizer is None else read_tokenizer(tokenizer).bos_id()
            windows = self_generate(
                built,
                max(1, self_generated // size),
                size,
                bos_id=bos_id,
                temperature=temperature,
                seed=seed,
                progress=progress,
            )
        found = collect(
            opened, built, windows, fisher=fisher, seed=seed, settings=settings, progress=progress
        )
        return replace(found, notes=(*opened.checkpoint.notes, *notes, *more))


def collect(
    opened: Opened, model: GPT, windows: Windows, *, settings: Settings, **options: Any
) -> Calibration:
    """
    Collect the calibration of weights whose model is built.

    Args:
        opened: The weights.
        model: Their model.
        windows: What to run.
        settings: Device, precision and tokens a pass.
        **options: As :func:`artpack.calibration.collect.calibrate` takes them.

    Returns:
        The calibration.

    """
    return collect_calibration(
        GptRunner(model),
        windows,
        weights_sha256=opened.checkpoint.weights_sha256,
        settings=settings,
        **options,
    )


def _known_model(
    opened: Opened, asked: ModelConfig | str | None
) -> tuple[ModelConfig, tuple[str, ...]]:
    found = choose_model(asked, select(opened.checkpoint).shapes, opened.path, opened.config)
    return found.needed(opened.name), found.notes
