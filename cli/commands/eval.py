"""``artpack eval``: what a packed model scores, and what packing cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import artpack
from artpack.errors import UsageError

from ..entry import EXIT_INTERRUPTED
from ..main import EXIT_FAULT
from ..options.outputs import Command, Output
from ..options.scoring import (
    faithful_option,
    ngram_option,
    sidecar_option,
    tokenizer_option,
    tokens_option,
    windows_options,
)
from ..options.shared import (
    EXISTING,
    POSITIVE,
    device_option,
    json_option,
    model_options,
    reference_option,
)
from ..options.ttt import ttt_options
from ..render import eval as render
from ..render import ttt as render_ttt
from ..render.progress import progress


@click.command("eval", cls=Command, needs="artpack.api.evaluate")
@click.argument("artifact", type=EXISTING, required=False)
@tokens_option
@tokenizer_option()
@sidecar_option
@click.option(
    "--check-bytes",
    is_flag=True,
    help="Decode the tokens and count their bytes again, token by token; exit code 1 if"
    " the counts differ or text is lost. Without ARTIFACT, do only that.",
)
@windows_options(fewest_tokens=1, limit="Score no more than the first so many.")
@click.option(
    "--baseline",
    type=EXISTING,
    metavar="CHECKPOINT",
    help="Score this too, and say how far ARTIFACT is from it.",
)
@model_options
@faithful_option
@device_option
@reference_option
@click.option(
    "--batch-tokens",
    type=POSITIVE,
    default=16_384,
    help="Tokens a forward pass, by default 16384, fewer where the vocabulary is large.",
)
@click.option("--compile", "compiled", is_flag=True, help="Run the layers through torch.compile.")
@ttt_options
@click.option(
    "--save-curve",
    "curve",
    type=Output(),
    metavar="FILE.csv",
    help="Write the running score of every chunk.",
)
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
    windows: "artpack.WindowOptions",
    device: str,
    precision: Any,
    batch_tokens: int,
    ttt: "artpack.TttOptions | None",
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
    from artpack.system.ranks import Ranks, joined

    if curve is not None and (ttt is None or ttt.attribute):
        raise UsageError("--save-curve goes with --ttt, and not with --attribute")
    with joined(device) as own, progress() as told, _resumable(ttt):
        result = artpack.evaluate(
            artifact,
            windows=windows,
            ttt=ttt,
            audit=artpack.AuditOptions() if audit else None,
            settings=artpack.Settings(device=own, precision=precision, batch_tokens=batch_tokens),
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
def _resumable(ttt: "artpack.TttOptions | None") -> Iterator[None]:
    """Say of an evaluation that was stopped how it is carried on, if there is a state."""
    from artpack.evaluation.ttt.saved_state import own_path

    try:
        yield
    except KeyboardInterrupt:
        if ttt is None or ttt.state is None or not own_path(Path(ttt.state)).exists():
            raise
        raise Interrupted(str(ttt.state)) from None
