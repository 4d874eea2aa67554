"""
How a file came about, as its provenance has it: what was asked, and what a search found.

Both are small, for every byte counts: options stand there where they are not the default, and
what was found is all that a file follows from besides, so that it is made again in one pass.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from artpack.errors import UsageError
from artpack.stages import Config, JsonValue, Record, check_range, later

PER_OCTAVE = 16
"""Measured sensitivities are rounded to so many for each doubling: steps that are 2% off cost
nothing that can be measured."""

LARGEST_LOG2 = 128.0
"""Of a step or a sensitivity; far beyond those of any weights."""


@dataclass(frozen=True)
class Options(Record):
    """
    What was asked of a file besides its recipe.

    Attributes:
        include: Regular expression that is found in a tensor's name.
        exclude: One that is not.
        key: Where in a file of ``torch.save`` the weights are.
        strip_prefix: What was taken off their names.
        dequantize: Whether weights that were quantized already were turned into plain ones.
        tokenizer_files: Whether those of the source's tokenizer are carried.
        files: Carried files that were given besides those of the source.
        loss: What a change of the model's outputs costs, if that was said by name.
        device: Kind of the device that quantizers computed on.
        profile: How hard the smallest coding was looked for.
        portable: Whether no library may be needed to decode.
        deadline_s: Seconds after which the search for codings ended.
        tune_steps: Batches that were learned from.
        learning_loss: What was learned by.
        learned_sha256: Hash of what was learned from, in hexadecimal, where that was more than
            the calibration's batches.
    """

    include: str = later("")
    exclude: str | None = later(None)
    key: str | None = later(None)
    strip_prefix: str | None = later(None)
    dequantize: bool = later(default=False)
    tokenizer_files: bool = later(default=True)
    files: tuple[str, ...] = later(())
    loss: str | None = later(None)
    device: str = later("cpu")
    profile: str = later("default")
    portable: bool | None = later(None)
    deadline_s: float | None = later(None)
    tune_steps: int = later(0)
    learning_loss: Literal["divergence", "next-token", "training"] = later("divergence")
    learned_sha256: str | None = later(None)

    def __post_init__(self) -> None:
        check_range(self, "tune_steps", 0, 1 << 32)


@dataclass(frozen=True)
class Outcome:
    """
    What a search found.

    Attributes:
        log2_step: Logarithm to base 2 of the constant that sets all steps; None for a recipe
            whose steps are fixed.
        sensitivities: What was measured, :func:`rounded`, by the name of a stored tensor; None
            to go by formula.
    """

    log2_step: float | None = None
    sensitivities: Mapping[str, float] | None = None

    def to_json(self, names: Sequence[str]) -> Config:
        """
        Return what provenance says of it.

        Args:
            names: Of the stored tensors, in order.

        Returns:
            ``log2_step``, and of each tensor the logarithm of its sensitivity to base 2 in
            sixteenths, None where there is none. What is None is left out.

        >>> Outcome(-7.5, {"b": 0.25}).to_json(["a", "b"])
        {'log2_step': -7.5, 'sensitivities': [None, -32]}

        """
        stated: Config = {}
        if self.log2_step is not None:
            stated["log2_step"] = self.log2_step
        if self.sensitivities is not None:
            known = self.sensitivities
            stated["sensitivities"] = [_packed(known[n]) if n in known else None for n in names]
        return stated

    @classmethod
    def from_json(cls, provenance: Config, names: Sequence[str]) -> Self:
        """
        Read it back out of provenance.

        Args:
            provenance: Of a file, which a stranger may have written.
            names: Of its stored tensors, in order.

        Returns:
            What :meth:`to_json` was made of.

        Raises:
            UsageError: It is something else.

        >>> Outcome.from_json({"log2_step": -7.5, "sensitivities": [None, -32]}, ["a", "b"])
        Outcome(log2_step=-7.5, sensitivities={'b': 0.25})

        """
        step, values = provenance.get("log2_step"), provenance.get("sensitivities")
        if step is not None and not (isinstance(step, float) and abs(step) < LARGEST_LOG2):
            raise UsageError(f"provenance: log2_step is {step!r:.40}")
        if values is None:
            return cls(step)
        if not isinstance(values, list) or len(values) != len(names):
            raise UsageError("provenance: sensitivities are not one for each tensor")
        pairs = zip(names, values, strict=True)
        return cls(step, {name: _unpacked(value) for name, value in pairs if value is not None})


def rounded(sensitivities: Mapping[str, float] | None) -> dict[str, float] | None:
    """
    Round measured sensitivities to what a file has a byte or two for.

    Args:
        sensitivities: By name, above 0; None if nothing was measured.

    Returns:
        The same, less than 3% off.

    """
    if sensitivities is None:
        return None
    return {name: _unpacked(_packed(cost)) for name, cost in sensitivities.items()}


def _packed(cost: float) -> int:
    return round(PER_OCTAVE * math.log2(cost))


def _unpacked(value: JsonValue) -> float:
    if type(value) is not int or abs(value) >= PER_OCTAVE * LARGEST_LOG2:
        raise UsageError(f"provenance: a sensitivity is {value!r:.40}")
    return math.exp2(value / PER_OCTAVE)
