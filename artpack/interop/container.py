"""What every container becomes: named tensors as symbols of artpack's own grids."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from artpack.checkpoint.banks import KINDS, Bank, close_bank
from artpack.errors import ArtifactError
from artpack.stages import Quantizer
from artpack.symbols import Quantized


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """
    One tensor of a container.

    Attributes:
        name: Its name there.
        dtype: What the system that reads the container makes of it, as torch spells it.
        quantizer: The grid.
        quantized: The symbols.
    """

    name: str
    dtype: str
    quantizer: Quantizer
    quantized: Quantized

    def weight(self) -> Tensor:
        """
        Dequantize.

        Returns:
            The tensor that the system would load, of type ``dtype``.

        Raises:
            ArtifactError: A part holds what it must not, a NaN for example.

        """
        try:
            weight = self.quantizer.dequantize(self.quantized)
        except ArtifactError as error:
            raise type(error)(f"tensor {self.name!r}: {error}") from error
        return weight.to(getattr(torch, self.dtype))


@dataclass(frozen=True, eq=False)
class Container:
    """
    A container's content.

    Attributes:
        format: Its name in :data:`artpack.interop.FORMATS`.
        tensors: In the container's order.
        banked: Its system keeps the matrices of all layers in banks, and opened them
            to quantize them.
    """

    format: str
    tensors: tuple[StoredTensor, ...]
    banked: bool = False

    def weights(self) -> dict[str, Tensor]:
        """
        Dequantize everything, as the system's own loader does.

        Returns:
            Name to tensor; banks closed again where all of their slices are there.

        Raises:
            ArtifactError: A part holds what it must not.

        """
        tensors = {tensor.name: tensor.weight() for tensor in self.tensors}
        return _close_banks(tensors) if self.banked else tensors


def _close_banks(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put banks in front, as their system does, and leave single matrices where they are."""
    layers = sum(name.endswith(".attn_scale") for name in tensors)
    banks: dict[str, Tensor] = {}
    members: set[str] = set()
    for name, kinds in KINDS.items():
        bank = Bank(name, tuple(f"blocks.{i}.{kind}" for kind in kinds for i in range(layers)))
        slices = [tensors.get(member) for member in bank.members]
        same = {None if part is None else (part.shape, part.dtype) for part in slices}
        if layers and len(same) == 1 and None not in same:
            banks[name] = close_bank(bank, tensors)
            members |= set(bank.members)
    return banks | {name: tensor for name, tensor in tensors.items() if name not in members}
