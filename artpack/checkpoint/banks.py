"""
Banks: many matrices in one tensor of three or more dimensions.

Speed-run models keep those of all layers so, to update them together, and mixtures
keep their experts so. Quantizers work on a matrix, so a bank is opened into its slices
and closed again on the way back. A bank may also be what is multiplied from the other side:
its slices, or the one matrix that it is, are stored transposed. Slices of the banks of
PR 1934 get the names that the same matrices have in models without banks, all others the
bank's with their number.

Source: parameter-golf PR 1934, for its banks and their names.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from artpack.checkpoint.source import TensorInfo
from artpack.errors import CheckpointError, CorruptError
from artpack.system.late import torch

if TYPE_CHECKING:
    from torch import Tensor

KINDS: Mapping[str, tuple[str, ...]] = {
    "qo_bank": ("attn.c_q.weight", "attn.proj.weight"),
    "kv_bank": ("attn.c_k.weight", "attn.c_v.weight"),
    "mlp_up_bank": ("mlp.fc.weight",),
    "mlp_down_bank": ("mlp.proj.weight",),
}
"""What a bank holds: all layers of the first kind, then all layers of the second."""

MIN_SIDE = 32
"""Rows and columns that a matrix in a stack has: smaller slices are kernels, or vectors."""

MAX_KERNEL = 64
"""Larger squares than this are no kernels of a convolution."""

MAX_SLICES = 4096
"""Stacks of more slices stay closed: a header has room for so many tensors only."""


@dataclass(frozen=True)
class Bank:
    """
    A tensor that is stored as its slices along the first axis, or the first few.

    Attributes:
        name: Name of the bank.
        members: Names of the slices, row-major.
        axes: Sizes of the axes that the slices are along: left out where there is one, but
            for transposed ones.
        transposed: Whether the slices are matrices (columns, rows) here, and stored as (rows,
            columns). With no axes it is a single matrix, whose member has its name.
    """

    name: str
    members: tuple[str, ...]
    axes: tuple[int, ...] = ()
    transposed: bool = False

    @property
    def front(self) -> tuple[int, ...]:
        """Sizes of the axes that the slices are along."""
        return self.axes if self.axes or self.transposed else (len(self.members),)

    def shape(self, member: tuple[int, ...]) -> tuple[int, ...]:
        """Return the bank's shape, from that of its members."""
        return (*self.front, *(reversed(member) if self.transposed else member))


def is_stack(info: TensorInfo) -> bool:
    """
    Return whether a tensor is a stack of matrices.

    A kernel of a convolution is none: it is one matrix, of a row for each output.

    Args:
        info: Any tensor.

    Returns:
        Whether its slices along all axes but the last two are to be stored as matrices.

    >>> is_stack(TensorInfo("experts", (8, 256, 256), torch.float32))
    True
    >>> is_stack(TensorInfo("conv.weight", (64, 32, 3, 3), torch.float32))
    False

    """
    if len(info.shape) < 3 or not info.dtype.is_floating_point or info.dtype.itemsize == 1:
        return False
    *front, rows, cols = info.shape
    if not 0 < math.prod(front) <= MAX_SLICES or min(rows, cols) < MIN_SIDE:
        return False
    kernel = len(front) > 1 and rows == cols <= MAX_KERNEL
    return not kernel or front[0] < MIN_SIDE


def bank_members(info: TensorInfo) -> tuple[str, ...]:
    """
    Name the slices of a bank.

    Args:
        info: Any tensor.

    Returns:
        One name for each index of the first axis; none if the tensor is not a bank.

    >>> bank_members(TensorInfo("kv_bank", (4, 8, 16), torch.float32))[1:3]
    ('blocks.1.attn.c_k.weight', 'blocks.0.attn.c_v.weight')

    """
    prefix, dot, stem = info.name.rpartition(".")
    kinds = KINDS.get(stem, ())
    if not kinds or len(info.shape) != 3 or info.shape[0] % len(kinds):
        return ()
    layers = info.shape[0] // len(kinds)
    return tuple(f"{prefix}{dot}blocks.{i}.{kind}" for kind in kinds for i in range(layers))


def _stack(info: TensorInfo, names: Collection[str]) -> Bank | None:
    """Return a stack as a bank; None if it is none, or a slice's name is taken."""
    if not is_stack(info):
        return None
    front = info.shape[:-2]
    places = product(*map(range, front))
    members = tuple(".".join([info.name, *map(str, place)]) for place in places)
    if not set(names).isdisjoint(members):
        return None
    return Bank(info.name, members, front if len(front) > 1 else ())


def _turned(info: TensorInfo, stack: Bank | None) -> Bank:
    """Return a stack, or a single matrix, as a bank that is stored transposed."""
    if stack is None:
        return Bank(info.name, (info.name,), transposed=True)
    return Bank(info.name, stack.members, stack.front, transposed=True)


def find_banks(
    infos: Iterable[TensorInfo],
    names: Collection[str],
    transposed: Collection[str] = (),
) -> tuple[Bank, ...]:
    """
    Find the banks of a checkpoint.

    Args:
        infos: Its tensors.
        names: All names in use, ties among them.
        transposed: Which of them are matrices, or stacks, of (columns, rows).

    Returns:
        The banks, in order.

    Raises:
        CheckpointError: A slice would get the name of another tensor.

    """
    banks: list[Bank] = []
    for info in infos:
        if members := bank_members(info):
            if clash := set(names).intersection(members):
                raise CheckpointError(
                    f"bank {info.name!r} holds {min(clash)!r}, which exists besides"
                )
            banks.append(Bank(info.name, members))
            continue
        stack, turned = _stack(info, names), info.name in transposed
        if turned and (stack is not None or len(info.shape) == 2):
            banks.append(_turned(info, stack))
        elif stack is not None:
            banks.append(stack)
    return tuple(banks)


def open_bank(info: TensorInfo, bank: Bank) -> list[TensorInfo]:
    """
    Describe the slices of a bank.

    Args:
        info: The bank.
        bank: Its slices' names.

    Returns:
        The slices, in order. Those of the banks of PR 1934 are tensors of their own; all
        others know their stack.

    """
    stack = None if bank_members(info) or not bank.front else info
    shape = info.shape[len(bank.front) :]
    if bank.transposed:
        shape = shape[::-1]
    packed = info.packed and replace(info.packed, bytes=info.packed.bytes // len(bank.members))
    return [TensorInfo(member, shape, info.dtype, stack, packed) for member in bank.members]


def by_layer(bank: Bank) -> list[str]:
    """
    List the slices of a bank layer by layer, in which order PR 1934 opens it.

    Args:
        bank: The bank, under the name that tells its kinds of slices.

    Returns:
        Their names.

    >>> by_layer(Bank("kv_bank", ("k0", "k1", "v0", "v1")))
    ['k0', 'v0', 'k1', 'v1']

    """
    kinds = KINDS.get(bank.name.rpartition(".")[2], (bank.name,))
    layers = len(bank.members) // len(kinds)
    return [member for layer in range(layers) for member in bank.members[layer::layers]]


def close_bank(bank: Bank, tensors: Mapping[str, Tensor]) -> Tensor:
    """
    Stack the slices of a bank.

    Args:
        bank: What to stack.
        tensors: Name to slice, all of one shape and dtype.

    Returns:
        The bank, with its axes in front.

    Raises:
        CorruptError: A slice is missing, or they differ in shape or dtype.

    """
    if missing := [name for name in bank.members if name not in tensors]:
        raise CorruptError(f"bank {bank.name!r}: {missing[0]!r} is missing")
    slices = [tensors[name] for name in bank.members]
    if len({(part.shape, part.dtype) for part in slices}) != 1:
        raise CorruptError(f"bank {bank.name!r}: its slices differ in shape or dtype")
    shape = tuple(slices[0].shape)
    if bank.transposed:
        slices = [part.T for part in slices]
    return torch.stack(slices).reshape(bank.shape(shape))
