"""
What the script of a submission does whose model learns while it is scored.

It is linked in the place of :func:`artpack.submission.scorer.main`, and runs the loop of
``artpack eval --ttt``: score, and only then learn.
"""

from pathlib import Path

from artpack.evaluation.scoring.summary import Score
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.adaptation import adapt
from artpack.evaluation.ttt.recipe import AnyRecipe
from artpack.models.config import ModelConfig
from artpack.models.gpt import GPT
from artpack.runners.settings import Settings
from artpack.submission.record import Windows
from artpack.submission.scorer import Load, run


def main(
    load: Load, artifact: Path, config: ModelConfig, windows: Windows, recipe: AnyRecipe
) -> None:
    """
    Score an artifact as the command line says, and print the score as JSON.

    Args:
        load: Its decoder.
        artifact: The file.
        config: Its model.
        windows: How many of the tokens are scored.
        recipe: How the model learns; window and stride are given.

    """

    def measure(model: GPT, stream: Stream, settings: Settings) -> Score:
        return adapt(model, stream, recipe, settings=settings).score

    run(load, artifact, config, windows.limit_tokens, measure)
