"""``artpack eval``: what a packed model scores, and what packing cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import click

import artpack
from artpack import AuditOptions, TttOptions, WindowOptions
from artpack.api.evaluate import default_settings
from artpack.evaluation.ttt.saved_state import own_path
from artpack.runners.settings import REFERENCE
from artpack.system.ranks import Ranks, joined

from ..entry import EXIT_INTERRUPTED
from ..main import EXIT_FAULT
from ..options.outputs import Command
from ..options.scoring import (
    faithful_option,
    ngram_option,
    placement_option,
    sidecar_option,
    stride_option,
    tokenizer_option,
    tokens_option,
    window_option,
)
from ..options.shared import (
    EXISTING,
    FOLDER,
    choose_device,
    device_option,
    json_option,
    key_option,
    model_option,
    precision_option,
    strip_option,
)
from ..options.ttt import ttt_options
from ..render import eval as render
from ..render import ttt as render_ttt
from ..render.progress import progress


@click.command("eval", cls=Command)
@click.argument("artifact", type=EXISTING, required=False)
@tokens_option
@tokenizer_option
@sidecar_option
@click.option(
    "--check-bytes",
    is_flag=True,
    help="Decode the tokens and count their bytes again, token by token; exit code 1 if"
    " the counts differ or text is lost. Without ARTIFACT, do only that.",
)
@window_option
@stride_option
@placement_option
@click.option(
    "--limit-tokens", type=click.IntRange(min=1), help="Score no more than the first so many."
)
@click.option(
    "--baseline",
    type=EXISTING,
    metavar="CHECKPOINT",
    help="Score this too, and say how far ARTIFACT is from it.",
)
@model_option
@key_option
@strip_option
@faithful_option
@click.option(
    "--hf",
    type=FOLDER,
    metavar="DIR",
    help="Instead of ARTIFACT, score a causal language model of Hugging Face"
    " (needs pip install 'artpack[hf]').",
)
@device_option
@precision_option
@click.option(
    "--batch-tokens",
    type=click.IntRange(min=1),
    help=f"Tokens a forward pass; by default {REFERENCE.batch_tokens}, with --hf one window.",
)
@click.option("--compile", "compiled", is_flag=True, help="Run the layers through torch.compile.")
@ttt_options
@ngram_option
@click.option(
    "--audit",
    is_flag=True,
    help="Audit a prefix, too, as 'artpack audit'; exit code 1 if it fails.",
)
@json_option
def eval(  # noqa: A001 - the command's name; LazyGroup looks it up
    *,
    artifact: Path | None,
    window_tokens: int,
    stride_tokens: int | None,
    placement: str,
    limit_tokens: int | None,
    hf: Path | None,
    device: str | None,
    precision: Literal["fp32", "bf16"],
    batch_tokens: int | None,
    ttt: TttOptions | None,
    curve: Path | None,
    audit: bool,
    as_json: bool,
    **others: Any,
) -> int:
    """
    Score ARTIFACT, or a raw checkpoint, in loss and bits per byte.

    Its model is the one stored in it, or --model, or the config.json beside it.
    Shared among processes with torchrun --nproc-per-node N -m artpack_cli eval ...
    """
    windows = WindowOptions(
        placement=placement,
        window_tokens=window_tokens,
        stride_tokens=stride_tokens,
        limit_tokens=limit_tokens,
    )
    usual = default_settings(windows, hf=hf is not None)
    with joined(choose_device(device)) as own, progress() as told, _resumable(ttt):
        result = artpack.evaluate(
            artifact,
            windows=windows,
            ttt=ttt,
            audit=AuditOptions() if audit else None,
            hf=hf,
            settings=replace(
                usual,
                device=own,
                precision=precision,
                batch_tokens=batch_tokens or usual.batch_tokens,
            ),
            progress=told,
            **others,
        )
        first = Ranks.current().rank == 0
    if first and curve is not None and result.ttt is not None:
        result.ttt.save_curve(curve)
    if first:
        render.report(result, as_json=as_json)
    return 0 if result.passed else EXIT_FAULT


class Interrupted(click.ClickException):
    """Somebody stopped an evaluation whose state is kept."""

    exit_code = EXIT_INTERRUPTED

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature
        """Say how to carry on."""
        render_ttt.stopped(self.message)


@contextmanager
def _resumable(ttt: TttOptions | None) -> Iterator[None]:
    """Say of an evaluation that was stopped how it is carried on, if there is a state."""
    try:
        yield
    except KeyboardInterrupt:
        if ttt is None or ttt.state is None or not own_path(Path(ttt.state)).exists():
            raise
        raise Interrupted(str(ttt.state)) from None
