"""One evaluation: what is scored, in which windows and how; and the scores of still models."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from artpack.api.eval_models import EvalInputs
from artpack.api.eval_options import WindowOptions
from artpack.api.eval_result import EvalScores
from artpack.errors import UsageError
from artpack.evaluation.scoring.score import Comparison, compare, score
from artpack.evaluation.scoring.summary import Score
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.windows.placements import place
from artpack.evaluation.windows.plan import WindowPlan, share_rows
from artpack.models.defects import as_meant
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress


@dataclass(frozen=True, eq=False)
class EvalRun:
    """
    What is scored, and how.

    Attributes:
        inputs: Models and tokens.
        windows: What of the tokens is run and scored.
        settings: Device, precision and batch size.
        faithful: Repeat what a recipe of test-time training says was published by mistake.
        progress: Told how far it is.
    """

    inputs: EvalInputs
    windows: WindowOptions
    settings: Settings
    faithful: bool = False
    progress: Progress | None = None

    @property
    def stream(self) -> Stream:
        """What of the tokens is scored."""
        return self.inputs.stream.first(self.windows.limit_tokens)

    def place(self, stream: Stream) -> WindowPlan:
        """Place windows on a stream of the same model."""
        windows, config = self.windows, self.inputs.config
        plan = place(
            windows.placement,
            stream.ids,
            windows.size,
            windows.stride,
            bos_id=stream.bos_id,
        )
        if config is not None and config == as_meant(config):
            plan = share_rows(plan)  # its documents do not see each other, so rows may be filled
        return plan

    def check(self) -> None:
        """Check that tokens and windows are for the models."""
        ids, longest = self.inputs.stream.ids, self.inputs.max_tokens
        if ids.size and int(ids.max()) >= self.inputs.vocab_size:
            raise UsageError(
                f"token id {ids.max()} is beyond the model's vocabulary of"
                f" {self.inputs.vocab_size}: give the tokens and tokenizer of this model"
            )
        if longest is not None and self.windows.size > longest:
            raise UsageError(f"the model takes {longest} tokens at most: give `window_tokens`")


def score_windows(run: EvalRun) -> EvalScores:
    """
    Score one model that does not change, or two side by side.

    Args:
        run: Models, tokens and windows.

    Returns:
        The scores.

    Raises:
        UsageError: Tokens or windows are not for these models.
        ScoreError: Some score is no finite number.

    """
    run.check()
    stream = run.stream
    plan, started = run.place(stream), time.monotonic()
    measure: Callable[..., Score | Comparison] = partial(
        score if len(run.inputs.models) == 1 else compare,
        ids=stream.ids,
        plan=plan,
        byte_counts=stream.byte_counts,
        settings=run.settings,
        bos_id=stream.bos_id,
        progress=run.progress,
    )
    found = measure(*run.inputs.models)
    return EvalScores(
        score=found if isinstance(found, Score) else found.packed,
        comparison=None if isinstance(found, Score) else found,
        last_window_tokens=int(plan.windows[-1, 1]),
        stream_tokens=int(run.inputs.stream.ids.size),
        seconds=time.monotonic() - started,
    )
