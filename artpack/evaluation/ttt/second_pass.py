"""A second pass with the weights that the first one has learned: not a score-first evaluation."""

from dataclasses import dataclass, replace

from torch import Tensor

from artpack.errors import UsageError
from artpack.evaluation.scoring.score import score
from artpack.evaluation.scoring.summary import Score
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.adaptation import Adapted
from artpack.evaluation.ttt.recipe import AnyRecipe, Lora, OverStream, Phased
from artpack.evaluation.ttt.recipe_windows import plan_of
from artpack.models import GPT, Documents
from artpack.runners.settings import REFERENCE, Settings
from artpack.stages.progress import Progress, renamed


@dataclass(frozen=True)
class AtTemperature:
    """
    A model whose logits are divided by another temperature than its own.

    Attributes:
        model: The model.
        temperature: None takes its own all the same.
    """

    model: GPT
    temperature: float | None

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """Return the model's hidden states."""
        return self.model.hidden(ids, documents)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits."""
        return self.model.logits(hidden, self.temperature)


def score_again(
    adapted: Adapted,
    stream: Stream,
    recipe: AnyRecipe,
    *,
    settings: Settings = REFERENCE,
    progress: Progress | None = None,
) -> Score:
    """
    Score a stream once more with what was learned from it, as PR 576 was published.

    Args:
        adapted: The first pass; its journal is carried on, so that no audit passes it.
        stream: The same tokens.
        recipe: The same recipe; its ``two_pass_temperature`` counts.
        settings: Device, precision and batch size.
        progress: Told how far it is.

    Returns:
        The second score.

    Raises:
        UsageError: What was learned is gone, because every document had its own.

    """
    if isinstance(recipe, Lora) and not isinstance(recipe, Phased):
        raise UsageError("`two_pass`: lora keeps nothing of what it has learned; leave it out")
    if isinstance(recipe, OverStream) and recipe.two_pass_placement is not None:
        recipe = replace(recipe, placement=recipe.two_pass_placement)
    plan = plan_of(recipe, stream)
    model = AtTemperature(adapted.model, recipe.two_pass_temperature)
    for start, length, first in plan.windows.tolist():
        adapted.journal.scored(start + first, start + length)
    return score(
        model,
        stream.ids,
        plan,
        stream.byte_counts,
        settings=settings,
        bos_id=stream.bos_id,
        progress=renamed(progress, "second pass"),
    )
