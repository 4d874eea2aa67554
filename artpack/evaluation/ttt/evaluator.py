"""A model that learns from what it has scored, as an evaluator that can be audited and mixed."""

from collections.abc import Sequence
from dataclasses import dataclass

from artpack.errors import UsageError
from artpack.evaluation.scoring.observation import Pass, Recorder
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.adaptation import adapt
from artpack.evaluation.ttt.recipe import AnyRecipe, Lora, Phased
from artpack.models import GPT
from artpack.runners.settings import Settings


@dataclass(frozen=True)
class Adapting:
    """
    A model that learns from what it has scored.

    Attributes:
        model: On ``settings.device``; it stays as it is.
        recipe: How a copy of it learns.
        settings: Device, precision and batch size.
    """

    model: GPT
    recipe: AnyRecipe
    settings: Settings

    def __call__(self, stream: Stream, watch: Sequence[int]) -> Pass:
        """Score a stream, as :class:`~artpack.evaluation.scoring.evaluators.Evaluator` says."""
        recorder = Recorder(stream.ids, watch, self.model.config.vocab_size)
        run = adapt(self.model, stream, self.recipe, settings=self.settings, observer=recorder)
        return recorder.one_pass(run.journal, self.settings.device)


def check_left_to_right(recipe: AnyRecipe) -> None:
    """
    Check that nothing a target is scored with was learned from later in the stream.

    Documents may run side by side, but what one of them learns must not reach an earlier
    one, or a mixture that goes from left to right would have seen what is to come.

    Args:
        recipe: How a model learns.

    Raises:
        UsageError: Documents that run out of order, or at once, learn from each other.

    """
    if not isinstance(recipe, Lora):
        return
    shared = isinstance(recipe, Phased) or recipe.keep_inputs or recipe.fit_temperature
    if recipe.joint or (shared and recipe.order != "stream"):
        raise UsageError(
            "n-gram mixing goes from left to right, and this recipe lets documents learn from"
            " later ones; leave `faithful` out, or set joint=false and order=stream"
        )
