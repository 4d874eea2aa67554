"""The script of a submission: one file that decodes, builds and scores an artifact by itself."""

import ast
from dataclasses import dataclass

from artpack.artifact.header import Header
from artpack.evaluation.ttt.recipe import AnyRecipe, OverStream
from artpack.models.config import ModelConfig
from artpack.portable.bundle import decoder_source
from artpack.portable.linker import Place, link
from artpack.portable.small_source import pack_source
from artpack.stages import Record
from artpack.submission.folding import fold, known_of, known_of_recipe
from artpack.submission.record import Windows
from artpack.version import __version__

STILL = Place("artpack.submission.scorer", "main")
LEARNING = Place("artpack.submission.learner", "main")
MODELS = "artpack.models."
TTT = "artpack.evaluation.ttt."
CONFIG, WINDOWS, RECIPE = "CONFIG", "WINDOWS", "RECIPE"


@dataclass(frozen=True)
class Script:
    """
    A script that scores one artifact.

    Attributes:
        source: What it does, to be read.
        small: The same in few bytes.
    """

    source: str
    small: str


def make_script(
    header: Header,
    config: ModelConfig,
    artifact: str,
    windows: Windows,
    recipe: AnyRecipe | None = None,
) -> Script:
    """
    Write the script of an artifact.

    Args:
        header: Of the artifact.
        config: Its model.
        artifact: Name of the artifact's file, beside the script.
        windows: What of the tokens is run and scored.
        recipe: How the model learns while it is scored, window and stride given; None if it
            does not.

    Returns:
        The script. It needs torch, numpy and sentencepiece.

    Raises:
        UsageError: The artifact has a stream that needs a library.

    """
    decoder = decoder_source(header, quiet=True)
    inner = "".join(f"    {line}\n" for line in decoder.splitlines())
    given = ", ".join((CONFIG, WINDOWS) if recipe is None else (CONFIG, WINDOWS, RECIPE))
    source = (
        f"def _decoder():\n{inner}    return load\n\n{scorer_source(config, windows, recipe)}\n"
        f"if __name__ == '__main__':\n"
        f"    main(_decoder(), Path(__file__).with_name({artifact!r}), {given})\n"
    )
    about = f'"""Decodes and scores {artifact}; made by artpack {__version__}."""\n'
    return Script(about + source, f"{pack_source(source, [])}exec(s)\n")


def scorer_source(config: ModelConfig, windows: Windows, recipe: AnyRecipe | None = None) -> str:
    """
    Write what builds and scores a model, with the mechanisms that it has and no others.

    Args:
        config: The model.
        windows: What of the tokens is run and scored.
        recipe: How the model learns while it is scored, if it does.

    Returns:
        Python's source, with ``main``, ``CONFIG``, ``WINDOWS`` and, if there is one, ``RECIPE``.

    """
    known = {MODELS: known_of(config, recipe)}
    placements = {windows.placement}
    records: dict[str, Record] = {CONFIG: config, WINDOWS: windows}
    if recipe is not None:
        known[TTT] = known_of_recipe(recipe)
        placements = {recipe.placement} if isinstance(recipe, OverStream) else set()
        records[RECIPE] = recipe

    def change(place: Place, node: ast.stmt) -> ast.stmt:
        for package, values in known.items():
            if place.module.startswith(package):
                return ast.fix_missing_locations(fold(node, values))
        return node

    wanted = placements | {rule.grid.stage_id for rule in config.simulated}
    entry = STILL if recipe is None else LEARNING
    return link(entry, wanted, change=change, records=records)
