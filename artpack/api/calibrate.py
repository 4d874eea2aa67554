"""The job of ``artpack.calibrate``: what quantizers need to know of the data."""

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from artpack.api.find_model import known_runnable
from artpack.api.runnable import DataOptions, GptModel, TransformersModel
from artpack.api.running import collect, start
from artpack.api.sources import WeightSource, check_device, open_source
from artpack.api.tokens import TokenSource
from artpack.calibration.collect import CALIBRATION
from artpack.calibration.file import Calibration
from artpack.errors import UsageError
from artpack.models import ModelConfig
from artpack.runners.batches import TokenBatches
from artpack.runners.frozen import gradients
from artpack.runners.gpt import GptRunner
from artpack.runners.hugging_face import TransformersRunner
from artpack.runners.losses import LossName
from artpack.runners.module import Forward
from artpack.runners.protocol import Runner, Writer
from artpack.runners.self_generate import self_generate
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress
from artpack.system.run_folder import RunFolder
from artpack.system.workers import Workers


def calibrate(
    source: WeightSource,
    tokens: TokenSource | None = None,
    *,
    batches: str | os.PathLike[str] | Iterable[Any] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    self_generated: int | None = None,
    temperature: float = 1.0,
    limit_tokens: int | None = None,
    window_tokens: int | None = None,
    loss: LossName | None = None,
    forward: Forward | None = None,
    fisher: bool = True,
    seed: int = 0,
    model: ModelConfig | str | None = None,
    key: str | None = None,
    strip_prefix: str | None = None,
    settings: Settings = CALIBRATION,
    jobs: Workers | None = None,
    run_folder: RunFolder | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """
    Run a model over data and collect what its quantizers need to know of it.

    In a torch process group each process runs its share and all return the same.

    Args:
        source: Weights of a model that artpack or transformers can run, or any module.
        tokens: What to run: files, or an array of ids (tokens,).
        batches: Instead of ``tokens``, batches as the model takes them: a tensor, a tuple of
            arguments, or a mapping of named arguments each.
        tokenizer: SentencePiece model of the tokens, where the model has none of its own.
        self_generated: Instead of ``tokens``, run so many that the model writes itself.
        temperature: What it writes them at, above 0.
        limit_tokens: Run no more than this, in windows spread evenly over the tokens; None
            for 32,768, and fewer for large models.
        window_tokens: Tokens a window; by default what the model was trained with.
        loss: What a change of the outputs costs: ``logits`` (KL divergence), ``outputs``
            (squared error over their variance), ``cosine``, or a function from the outputs
            before (n, d) and after to the loss of each row (n,). By default what fits.
        forward: Runs the model, a module, on a batch, and returns its outputs.
        fisher: Collect gradients too; without them it takes half the time.
        seed: Of everything that is drawn.
        model: The weights' model, a config, preset or file; None to find it.
        key: Where in a file of ``torch.save`` the weights are.
        strip_prefix: What to take off their names.
        settings: Device, precision and tokens a pass.
        jobs: Workers that each run a share of the windows, such as an ``artpack.Cluster``; by
            default this process does.
        run_folder: Keeps what is found on the way, so that the same call goes on from there
            if it was ended; see :class:`artpack.RunFolder`.
        progress: Told how far it is.

    Returns:
        The calibration; it belongs to these weights.

    Raises:
        CheckpointError: The weights are not usable.
        UsageError: The model is not known, or the data is not for it.

    >>> import torch
    >>> layer = torch.nn.Linear(2, 3)
    >>> found = calibrate(layer, batches=[torch.tensor([[3.0, 0.0], [1.0, 2.0]])])
    >>> found.hessians["weight"].tolist()
    [[5.0, 1.0], [1.0, 2.0]]

    """
    if sum(given is not None for given in (tokens, batches, self_generated)) != 1:
        raise UsageError("give what to run: one of `tokens`, `batches` and `self_generated`")
    data = DataOptions(
        tokens=tokens,
        tokenizer=tokenizer,
        batches=batches,
        limit_tokens=limit_tokens,
        window_tokens=window_tokens,
    )
    check_device(settings.device)
    with open_source(source, key=key, strip_prefix=strip_prefix) as opened, gradients():
        known, notes = known_runnable(opened, model, forward)
        runner = known.build(opened.checkpoint, settings.device)
        if self_generated is None:
            chosen, more = known.batches(data, settings)
        else:
            if not isinstance(known, GptModel | TransformersModel):
                raise UsageError("only language models write: give `tokens` or `batches`")
            window, more = known.window(window_tokens)
            written = self_generate(
                _writer(runner),
                max(1, self_generated // window),
                window,
                bos_id=known.bos_id(tokenizer),
                temperature=temperature,
                seed=seed,
                progress=progress,
            )
            chosen = TokenBatches(written, settings.batch_tokens)
        running = start(opened, known, runner, chosen, loss=loss, device=settings.device)
        found = collect(
            running,
            fisher=fisher,
            seed=seed,
            settings=settings,
            jobs=jobs,
            run_folder=run_folder,
            progress=progress,
        )
        return replace(found, notes=(*opened.checkpoint.notes, *notes, *more, *found.notes))


def _writer(runner: Runner) -> Writer:
    if isinstance(runner, GptRunner) or (
        isinstance(runner, TransformersRunner) and runner.is_causal
    ):
        return runner
    raise UsageError(
        f"{type(runner.module).__name__} predicts no next token, so that it cannot write: give"
        " `tokens` or `batches`"
    )
