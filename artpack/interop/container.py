"""Containers as artpack sees them: named tensors as symbols of its own grids."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from artpack.checkpoint import Bank, restore
from artpack.checkpoint.banks import KINDS
from artpack.errors import ArtifactError
from artpack.stages import Quantizer
from artpack.stages.symbols import Quantized


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

    @property
    def banks(self) -> tuple[Bank, ...]:
        """The banks of which every slice is there, in the order that the system has them."""
        if not self.banked:
            return ()
        kinds = {t.name: (t.quantized.shape, t.dtype) for t in self.tensors}
        layers = sum(name.endswith(".attn_scale") for name in kinds)
        banks = [
            Bank(name, tuple(f"blocks.{i}.{stem}" for stem in stems for i in range(layers)))
            for name, stems in KINDS.items()
        ]
        return tuple(b for b in banks if _alike([kinds.get(member) for member in b.members]))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape, banks closed."""
        shapes = {tensor.name: tensor.quantized.shape for tensor in self.tensors}
        closed = {b.name: (len(b.members), *shapes[b.members[0]]) for b in self.banks}
        members = {member for bank in self.banks for member in bank.members}
        return closed | {name: shape for name, shape in shapes.items() if name not in members}

    def weights(self) -> dict[str, Tensor]:
        """
        Dequantize everything, as the system's own loader does.

        Returns:
            Name to tensor; banks closed, and in front.

        Raises:
            ArtifactError: A part holds what it must not.

        """
        tensors = {tensor.name: tensor.weight() for tensor in self.tensors}
        return restore(self.shapes, tensors, (), self.banks)


def _alike(kinds: Sequence[object]) -> bool:
    return len(set(kinds)) == 1 and kinds[0] is not None
