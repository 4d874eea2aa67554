"""What each tensor is stored as: by its rule, or as it was prepared."""

from collections.abc import Mapping

from artpack.artifact.format import shape_fault
from artpack.artifact.plan import TensorPlan
from artpack.checkpoint import TensorInfo
from artpack.checkpoint.selection import Selection
from artpack.errors import CheckpointError, UsageError
from artpack.pack.prepare import Prepared
from artpack.quantize import Raw
from artpack.recipes.rules import Rule
from artpack.recipes.spec import PlanSpec
from artpack.stages import Quantizer


def plan_tensors(
    selection: Selection, spec: PlanSpec, prepared: Mapping[str, Prepared]
) -> tuple[tuple[TensorPlan, ...], tuple[Rule | None, ...]]:
    """
    Say what each tensor is stored as.

    Args:
        selection: The tensors.
        spec: The recipe, with its exceptions.
        prepared: Those that are not stored by their rule.

    Returns:
        What each is stored as, and its rule; None for what is stored as it is: integers and
        8-bit floats.

    Raises:
        CheckpointError: A tensor has a shape that no artifact has.
        UsageError: No rule of the recipe takes a tensor, or a prepared one is not
            selected or of another shape.

    """
    _check(prepared, selection)
    rules = tuple(_rule(spec, info, prepared) for info in selection.tensors)
    tensors = tuple(
        _tensor_plan(info, rule, prepared.get(info.name))
        for info, rule in zip(selection.tensors, rules, strict=True)
    )
    return tensors, rules


def _check(prepared: Mapping[str, Prepared], selection: Selection) -> None:
    shapes = {info.name: info.shape for info in selection.tensors}
    for name, tensor in prepared.items():
        if shapes.get(name) != tensor.quantized.shape:
            raise UsageError(
                f"{name!r} is prepared with the shape {tensor.quantized.shape},"
                f" the selection has {shapes.get(name, 'no such tensor')}"
            )


def _rule(spec: PlanSpec, info: TensorInfo, prepared: Mapping[str, Prepared]) -> Rule | None:
    if not info.dtype.is_floating_point or info.dtype.itemsize == 1:
        return None
    rule = spec.rule_of(info)
    if info.name in prepared:
        return rule
    if rule is None:
        raise UsageError(
            f"recipe {spec.name!r} has no rule for {info.name!r} {list(info.shape)}:"
            " end it with a rule that takes every tensor"
        )
    if rule.needs_preparing or rule.on_frontier:
        raise UsageError(
            f"rule {rule.name!r} of {spec.name!r} quantizes with more than weights:"
            f" {info.name!r} must be prepared first"
        )
    return rule


def _tensor_plan(info: TensorInfo, rule: Rule | None, prepared: Prepared | None) -> TensorPlan:
    if fault := shape_fault(info.shape):
        raise CheckpointError(f"{info.name!r}: {fault}")
    dtype = str(info.dtype).removeprefix("torch.")
    quantizer: Quantizer
    if prepared is not None:
        quantizer = prepared.quantizer
    else:
        quantizer = Raw.of(dtype) if rule is None or rule.quantizer is None else rule.quantizer
    return TensorPlan(info.name, info.shape, dtype, quantizer)
