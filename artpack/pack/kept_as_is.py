"""
Exceptions to a recipe that a checkpoint demands.

Scales of weights that are quantized already are kept as they are, and so is what is no
matrix and does not fit what its rule names: buffers, masks, vectors of tiny numbers. A
matrix whose scales are too small for fp16 gets them in fp32.
"""

import re
from dataclasses import replace

import torch
from torch import Tensor

from artpack.checkpoint import Checkpoint, TensorInfo
from artpack.checkpoint.selection import Selection
from artpack.checkpoint.source import listed
from artpack.quantize.fit import GridFit, fit, is_mask, is_matrix, widened
from artpack.quantize.grids.row_int import RowInt
from artpack.recipes.rules import Rule
from artpack.recipes.spec import PlanSpec

SCALES = "kept as they are, scales of weights that are quantized already"
EXACT = "kept as they are"
"""Why, the checkpoint has said: no note of ours."""

MISFITS = "kept as they are, with values that are too large or too small for the recipe's grid"
WIDENED = "scales in fp32, too small for fp16"

LEAST_PUBLISHED = 2.0**-14
"""Above this a rule with ``zero_scales`` has its way: a few groups vanish, as published."""

_SCALE = re.compile(r"(?:^|[._])(?:scales?|scale_inv|zeros?|zero_points?|absmax|amax|g_idx)$")


def find_exceptions(
    checkpoint: Checkpoint, selection: Selection, spec: PlanSpec
) -> tuple[PlanSpec, tuple[str, ...]]:
    """
    Look at all tensors, and find those that the recipe's rules are not for.

    Args:
        checkpoint: Where the weights come from.
        selection: Which of them.
        spec: The recipe.

    Returns:
        The recipe with its exceptions, and notes. A recipe that has been looked at is
        returned as it is.

    Raises:
        CheckpointError: A file was changed since it was opened.

    """
    if spec.exceptions is not None:
        return spec, ()
    scales = find_scales(checkpoint.tensors)
    found: dict[str, tuple[Rule, str]] = {}
    for info in selection.tensors:
        whole, rule = info.stack or info, spec.rule_of(info)
        known = found.get(whole.name)
        if rule is None or rule.quantizer is None or (known and known[0].quantizer is None):
            continue
        if whole.name in checkpoint.exact:
            found[whole.name] = _kept(rule), EXACT
        elif whole.name in scales:
            found[whole.name] = _kept(rule), SCALES
        elif changed := _changed(checkpoint.read(info.name), info, rule):
            found[whole.name] = changed
        checkpoint.release()
    notes = tuple(
        f"{reason}: {listed(names)}"
        for reason in (SCALES, MISFITS, WIDENED)
        if (names := [name for name, (_, why) in found.items() if why == reason])
    )
    return replace(spec, exceptions={name: rule for name, (rule, _) in found.items()}), notes


def find_scales(infos: tuple[TensorInfo, ...]) -> frozenset[str]:
    """
    Find what belongs to weights that are quantized already: scales, zero points, tables.

    Weights are, if they are whole numbers of 32 bits or less or floats of 8, in two or more
    dimensions. To them belongs what lies in the same module and is neither weight nor
    bias, and what lies under the weight's own name; in such a checkpoint also all that is
    called a scale.

    Args:
        infos: All tensors of a checkpoint.

    Returns:
        Names.

    """
    packed = [info.name for info in infos if _is_packed(info)]
    if not packed:
        return frozenset()
    modules = {name.rpartition(".")[0] for name in packed} | set(packed)
    return frozenset(
        info.name for info in infos if _SCALE.search(info.name) or _belongs(info.name, modules)
    )


def _is_packed(info: TensorInfo) -> bool:
    if len(info.shape) < 2 or info.dtype in (torch.bool, torch.int64, torch.uint64):
        return False
    return not info.dtype.is_complex and (
        info.dtype.itemsize == 1 or not info.dtype.is_floating_point
    )


def _belongs(name: str, modules: set[str]) -> bool:
    module, _, last = name.rpartition(".")
    return bool(module) and module in modules and last not in ("weight", "bias")


def _changed(weight: Tensor, info: TensorInfo, rule: Rule) -> tuple[Rule, str] | None:
    """Return another rule for a tensor, and why, if its own is not for it."""
    assert rule.quantizer is not None
    if is_mask(weight):
        return _kept(rule), MISFITS
    how = _fit(weight, rule)
    if how is GridFit.SMALL:
        wide = None if rule.steps is not None else widened(rule.quantizer)
        if wide is None or fit(weight, wide) is not GridFit.GOOD:
            return _kept(rule), MISFITS
        return replace(rule, quantizer=wide, zero_scales=False), WIDENED
    # A matrix that is too large has diverged: to refuse it is for the quantizer.
    large = how is GridFit.LARGE and not is_matrix(info.shape)
    return (_kept(rule), MISFITS) if large else None


def _fit(weight: Tensor, rule: Rule) -> GridFit:
    assert rule.quantizer is not None
    floor = 0.0
    if rule.steps is not None and isinstance(rule.quantizer, RowInt):
        floor = rule.steps.floor / rule.quantizer.radius
    how = fit(weight, rule.quantizer, floor=floor)
    published = rule.zero_scales and bool(weight.abs().max() > LEAST_PUBLISHED)
    return GridFit.GOOD if how is GridFit.SMALL and published else how


def _kept(rule: Rule) -> Rule:
    return Rule(name=rule.name, quantizer=None)
