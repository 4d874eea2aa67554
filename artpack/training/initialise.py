"""Initial weights, as a recipe says, from a seed."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from artpack.errors import UsageError
from artpack.models.banked_weights import bank_slices
from artpack.models.config import ModelConfig
from artpack.models.gpt import GPT
from artpack.stages.patterns import compiled
from artpack.training.settings import Init


@torch.no_grad()
def initialise(model: GPT, rules: Sequence[Init], *, seed: int) -> None:
    """
    Give a model its initial weights.

    Args:
        model: On the CPU, so that the values do not depend on the device.
        rules: The first one that matches a tensor's name fills it.
        seed: Of the random values.

    Raises:
        UsageError: A rule has neither one value nor one a row, or is orthogonal for a vector.

    """
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in matrices(model):
        rule = next((rule for rule in rules if compiled(rule.match).found_in(name)), None)
        if rule is not None:
            _fill(name, tensor, rule, generator)


def matrices(model: GPT) -> Iterator[tuple[str, Tensor]]:
    """
    Open the banks of a model.

    Args:
        model: The model.

    Yields:
        Name and tensor of every parameter, slices of banks under the names that they
        have in a model without banks.

    """
    config = model.config
    for name, parameter in model.named_parameters():
        if not name.endswith("_bank"):
            yield name, parameter
    if config.names.matrices == "banked":
        yield from open_banks(config, dict(model.named_parameters()))


def open_banks(config: ModelConfig, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """
    Open banks into matrices.

    Args:
        config: The model.
        tensors: Name to tensor, the banks among them.

    Yields:
        Name and view of each layer's matrices.

    """
    for layer in range(config.num_layers):
        for name, matrix in bank_slices(config, tensors, layer).items():
            yield f"{config.names.blocks}.{layer}.{name}.weight", matrix


def _fill(name: str, tensor: Tensor, rule: Init, generator: torch.Generator) -> None:
    if rule.kind == "normal":
        nn.init.normal_(tensor, std=rule.scale, generator=generator)
    elif rule.kind == "uniform":
        bound = rule.scale / tensor.size(-1) ** 0.5
        nn.init.uniform_(tensor, -bound, bound, generator=generator)
    elif rule.kind == "orthogonal":
        if tensor.ndim != 2:
            raise UsageError(f"init {rule.match!r}: {name} is no matrix to be made orthogonal")
        nn.init.orthogonal_(tensor, gain=rule.scale, generator=generator)
    else:
        rows = len(tensor) if tensor.ndim else 1
        if len(rule.values) not in (1, rows):
            raise UsageError(
                f"init {rule.match!r}: {len(rule.values)} values for {rows} rows of {name}"
            )
        values = torch.tensor(rule.values)
        tensor.copy_(values.view(-1, *[1] * (tensor.ndim - 1)) if tensor.ndim else values[0])
