"""What an artifact says of how it was made, as inputs that it is made of again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from artpack.api.inputs import CompressInputs
from artpack.api.learning import Learning
from artpack.artifact.reader import Artifact
from artpack.calibration.file import Calibration
from artpack.errors import RecipeError, UsageError
from artpack.models import ModelConfig
from artpack.models.find import stored_model
from artpack.pack.origin import Options, Outcome
from artpack.recipes import recipe_of
from artpack.recipes.spec import PlanSpec
from artpack.stages import Config

AVERAGE = {"average": "kind", "decay": "decay"}
"""Arguments of averages, and what provenance calls them."""


@dataclass(frozen=True, eq=False)
class Origin:
    """
    How an artifact was made, as it says itself.

    Attributes:
        spec: By which recipe.
        options: What was asked for besides.
        outcome: What a search found.
        files: Carried files that were given by hand.
        model: Model of its weights, if it is one of this project's own.
        provenance: All that it says of where it comes from.
    """

    spec: PlanSpec
    options: Options
    outcome: Outcome
    files: Mapping[str, bytes]
    model: ModelConfig | None
    provenance: Config

    @classmethod
    def of(cls, there: Artifact, path: Path) -> Self:
        """
        Read it out of a header, which a stranger may have written.

        Args:
            there: The artifact.
            path: Its file, for messages.

        Returns:
            What it says.

        Raises:
            ArtifactError: It is damaged.
            UsageError: It does not say enough, or what no artifact says.

        """
        header, provenance = there.header, there.header.provenance
        recipe, asked = provenance.get("recipe"), provenance.get("options", {})
        if not isinstance(recipe, dict):
            raise UsageError(f"{path}: does not name a recipe: it was not made of a checkpoint")
        names = [tensor.name for tensor in header.plan.tensors]
        try:
            options = Options.from_json(asked, where="options")
            spec, outcome = recipe_of(recipe), Outcome.from_json(provenance, names)
            files = _named(options.files, there)
        except (UsageError, RecipeError) as error:
            by = str(provenance.get("artpack"))
            raise UsageError(
                f"{path}: made by artpack {by:.40}, and does not say well enough how: {error}"
            ) from error
        return cls(spec, options, outcome, files, stored_model(header.model), provenance)

    @property
    def carried(self) -> Config:
        """What is carried in provenance and nothing is made of."""
        return {key: value for key, value in self.provenance.items() if key == "ttt"}

    def inputs(self, given: CompressInputs, *, keep_symbols: bool) -> CompressInputs:
        """
        Add what the artifact says to what is given.

        Args:
            given: The weights, what is known of the data, and where to compute.
            keep_symbols: Whether nothing need be known of the data.

        Returns:
            What the artifact is made of.

        Raises:
            UsageError: They do not go together.

        """
        calibration = self.provenance.get("calibration")
        if keep_symbols and given.has_data:
            raise UsageError("`keep_symbols` needs no data: leave it out")
        if isinstance(calibration, dict) and keep_symbols:
            # All that is known of the data is its fingerprint, which says whose it is.
            given = replace(given, calibration=Calibration({}, {}, {}, 1, calibration))
        elif calibration is not None and not given.has_data:
            raise UsageError(
                "it was made with data: give `calibration` or `calibration_tokens`, or"
                " `keep_symbols`"
            )
        elif calibration is None and given.has_data:
            raise UsageError("it was made without data: leave data out")
        asked, average = self.options, self.provenance.get("average")
        if asked.tune_steps and not given.data.given and not keep_symbols:
            raise UsageError("it has learned from data: give `calibration_tokens`")
        averaged = average if isinstance(average, dict) else {}
        learned = asked.learned_sha256 is not None and not keep_symbols
        values: dict[str, Any] = {key: averaged.get(name) for key, name in AVERAGE.items()}
        return replace(
            given,
            **values,
            key=asked.key,
            strip_prefix=asked.strip_prefix,
            include=asked.include,
            exclude=asked.exclude,
            model=self.model,
            loss=given.loss or asked.loss,
            learning=Learning(asked.tune_steps, asked.learning_loss) if learned else None,
            files=self.files,
            tokenizer_files=asked.tokenizer_files,
            dequantize=asked.dequantize,
        )


def _named(names: Sequence[str], there: Artifact) -> dict[str, bytes]:
    """Return carried files that were given by hand: nothing else has them."""
    carried = there.files if names else {}
    if missing := [name for name in names if name not in carried]:
        raise UsageError(f"it does not carry {missing[0]!r}")
    return {name: carried[name] for name in names}
