"""
Sensitivities of tensors, measured: what a squared step costs in each.

Formulas know the second moments of inputs and gradients, but not how they go together.
Where gradients are not known either, every tensor is quantized once, coarsely, and the model
tells what the errors cost.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from artpack.calibration.file import Calibration, hash_config
from artpack.errors import UsageError
from artpack.pack.rate_distortion import RateDistortion
from artpack.pack.search_record import UNRECORDED, SearchRecord
from artpack.recipes.spec import PlanSpec
from artpack.stages import Config, JsonValue
from artpack.stages.parsing import parse_json
from artpack.system.atomic import write_atomically

FORMAT = "artpack-sensitivity-1"

Loss = Callable[[Mapping[str, Tensor]], float]
"""From some stored tensors, quantized, to the loss in nats per token that this adds."""

Curvature = Callable[[Mapping[str, Tensor]], Mapping[str, float]]
"""From errors of stored tensors to the loss that each of them alone adds."""

LEAST = 1e-9
"""Loss below which an estimate in fp32 says nothing."""


def measure_sensitivities(
    frontier: RateDistortion, curvature: Curvature, *, bits_per_weight: float = 2.25
) -> dict[str, float]:
    """
    Measure what a squared step costs in each tensor.

    Args:
        frontier: Of the checkpoint, without sensitivities.
        curvature: Tells what errors cost.
        bits_per_weight: About the rate at which tensors are quantized for this.

    Returns:
        Tensor name to loss over the mean squared step. A tensor that costs next to nothing
        is left out: it goes by formula.

    """
    log2_step = frontier.log2_step_for(bits_per_weight)
    added = curvature(frontier.errors(log2_step))
    return {
        name: cost / 4 ** (log2_step + frontier.offset(name))
        for name, cost in added.items()
        if cost > LEAST
    }


def obtain_sensitivities(
    frontier: RateDistortion,
    calibration: Calibration | None,
    spec: PlanSpec,
    *,
    curvature: Curvature | None,
    file: Path | None,
    record: SearchRecord = UNRECORDED,
) -> tuple[dict[str, float] | None, tuple[str, ...]]:
    """
    Read sensitivities from a file, or measure them and keep them there.

    Args:
        frontier: Of the checkpoint, without sensitivities.
        calibration: What is known of the data.
        spec: The recipe.
        curvature: What measures them; None to go by formula.
        file: Where they are kept; None for nowhere.
        record: Knows those of an earlier run that was ended.

    Returns:
        The sensitivities, None where a formula has to do; and notes of what was done.

    Raises:
        UsageError: The file is damaged, or something else.
        OSError: The file cannot be written.

    """
    if calibration is None:
        return None, ("nothing is known of the data: calibration tokens make a much better file",)
    fingerprint: Config = {
        "calibration": hash_config(calibration.fingerprint),
        "recipe": spec.to_json(),
    }
    known = None if file is None else read_sensitivities(file, fingerprint)
    if known is not None:
        return known, (f"sensitivities: read from {file}",)
    if curvature is None:
        return None, ()
    measured = record.costs(partial(measure_sensitivities, frontier, curvature))
    if file is None:
        return measured, ()
    try:
        write_sensitivities(file, measured, fingerprint)
    except OSError as error:
        return measured, (f"sensitivities: measured, but not kept in {file}: {error.strerror}",)
    return measured, (f"sensitivities: measured, kept in {file}",)


def write_sensitivities(path: Path, sensitivities: Mapping[str, float], fingerprint: Config) -> int:
    """
    Write sensitivities as JSON, whole or not at all.

    Args:
        path: The file.
        sensitivities: What :func:`measure_sensitivities` found.
        fingerprint: What they depend on: weights, calibration, recipe.

    Returns:
        The number of bytes written.

    Raises:
        OSError: The folder cannot be written to.

    """
    content = {"format": FORMAT, "fingerprint": fingerprint, "sensitivities": dict(sensitivities)}
    return write_atomically(path, [json.dumps(content, indent=1).encode()])


def read_sensitivities(path: Path, fingerprint: Config) -> dict[str, float] | None:
    """
    Read sensitivities back, if they are still good.

    Args:
        path: What :func:`write_sensitivities` wrote.
        fingerprint: What they must have been measured with.

    Returns:
        The sensitivities; None if the file is missing or they were measured with something else.

    Raises:
        UsageError: It is damaged, or something else.

    """
    if not path.is_file():
        return None
    try:
        content = parse_json(path.read_bytes())
    except UsageError as error:
        raise UsageError(f"{path}: no JSON; delete it to measure again") from error
    sensitivities = content.get("sensitivities") if isinstance(content, dict) else None
    if not isinstance(sensitivities, dict) or content.get("format") != FORMAT:
        raise UsageError(f"{path}: not a file of measured sensitivities")
    if content.get("fingerprint") != fingerprint:
        return None
    return {name: _cost(path, name, cost) for name, cost in sensitivities.items()}


def _cost(path: Path, name: str, cost: JsonValue) -> float:
    if not isinstance(cost, float) or not 0 < cost < float("inf"):
        raise UsageError(f"{path}: the cost of {name!r} is {cost!r}; delete it to measure again")
    return cost
