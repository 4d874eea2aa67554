"""
Quantization-aware training: on the weights that packing gives back.

The model runs on the weights as they would come out of the packed file: the quantizers
of the packing recipe are called themselves, so there is no second grid that could
differ. Rounding is to the nearest level, as GPTQ takes too long for every step, but on
the recipe's steps and after its pruning. Gradients reach the raw weights unchanged (the
straight-through estimator).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from artpack.errors import UsageError
from artpack.models.config import ModelConfig
from artpack.quantize import RowInt
from artpack.quantize.rounding.prune import prune_smallest
from artpack.quantize.rounding.row_rounding import RowRounding
from artpack.recipes.rules import Rule
from artpack.recipes.spec import PlanSpec
from artpack.stages import Quantizer
from artpack.stages.symbols import Quantized
from artpack.training.initialise import open_banks


@dataclass(frozen=True, eq=False)
class StoredWeight:
    """
    A weight, and what packing makes of it.

    Attributes:
        weight: The raw tensor, or a slice of its bank.
        quantizer: The stage that the recipe has for it.
        quantized: Its symbols.
        value: What an unpacked file would hold, on the weight's device.
    """

    weight: Tensor
    quantizer: Quantizer
    quantized: Quantized
    value: Tensor


def store(
    config: ModelConfig, weights: Mapping[str, Tensor], spec: PlanSpec
) -> dict[str, StoredWeight]:
    """
    Quantize a model's weights as a packing recipe would.

    Args:
        config: The model.
        weights: Name to tensor, as in a checkpoint.
        spec: The packing recipe.

    Returns:
        Name to what is stored; the matrices of banks under their own names. Tensors
        that the recipe keeps as they are are left out.

    Raises:
        UsageError: A weight has become infinite or does not fit its grid.

    """
    stored = {}
    for name, weight in _opened(config, weights):
        rule = spec.rule_for(name, tuple(weight.shape))
        if rule is None or rule.quantizer is None:
            continue
        try:
            quantized = _quantize(weight.detach(), rule)
        except UsageError as error:
            raise UsageError(f"tensor {name!r}: {error}") from error
        value = rule.quantizer.dequantize(quantized).to(weight.device)
        stored[name] = StoredWeight(weight, rule.quantizer, quantized, value)
    return stored


def packed_weights(
    config: ModelConfig, weights: Mapping[str, Tensor], stored: Mapping[str, StoredWeight]
) -> dict[str, Tensor]:
    """
    Return a model's weights as they come out of the packed file.

    Args:
        config: The model.
        weights: Name to tensor, as in a checkpoint.
        stored: What :func:`store` made of them.

    Returns:
        Name to tensor, banks closed again; a gradient of one is that of the raw weight.

    """
    values = {name: stored[name].value for name in stored if name in weights}
    for bank in (name for name in weights if name.endswith("_bank")):
        values[bank] = weights[bank].detach().clone()
    for name, view in open_banks(config, values) if _banked(config) else ():
        if name in stored:
            view.copy_(stored[name].value)
    # The difference is exactly 0 and only carries the gradient.
    return {
        name: values[name] + (w - w.detach()) if name in values else w
        for name, w in weights.items()
    }


def _quantize(weight: Tensor, rule: Rule) -> Quantized:
    """Do what packing does without data: a rule's GPTQ is left to the packing itself."""
    pruned = prune_smallest(weight, rule.prune) if rule.prune else weight
    if isinstance(rule.quantizer, RowInt):
        return RowRounding(rule.quantizer, rule.steps).quantize(pruned, None)[0]
    assert rule.quantizer is not None
    return rule.quantizer.quantize(pruned)


def _opened(config: ModelConfig, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for name, weight in weights.items():
        if not name.endswith("_bank"):
            yield name, weight
    if _banked(config):
        yield from open_banks(config, weights)


def _banked(config: ModelConfig) -> bool:
    return config.names.matrices == "banked"
