"""
Banks: the matrices of all layers in one three-dimensional tensor.

Speed-run models keep them so to update them together. Quantizers work on a
matrix, so a bank is opened into the names that the same matrices have in
models without banks, and closed again on the way back.

Source: parameter-golf PR 1934, whose names these are.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from artpack.checkpoint.source import TensorInfo
from artpack.errors import CheckpointError, CorruptError

KINDS: Mapping[str, tuple[str, ...]] = {
    "qo_bank": ("attn.c_q.weight", "attn.proj.weight"),
    "kv_bank": ("attn.c_k.weight", "attn.c_v.weight"),
    "mlp_up_bank": ("mlp.fc.weight",),
    "mlp_down_bank": ("mlp.proj.weight",),
}
"""What a bank holds: all layers of the first kind, then all layers of the second."""


@dataclass(frozen=True)
class Bank:
    """
    A tensor that is stored as its slices along the first axis.

    Attributes:
        name: Name of the bank.
        members: Names of the slices, in order.
    """

    name: str
    members: tuple[str, ...]


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


def find_banks(infos: Iterable[TensorInfo], names: Collection[str]) -> tuple[Bank, ...]:
    """
    Find the banks of a checkpoint.

    Args:
        infos: Its tensors.
        names: All names in use, ties among them.

    Returns:
        The banks, in order.

    Raises:
        CheckpointError: A slice would get the name of another tensor.

    """
    banks = [Bank(info.name, members) for info in infos if (members := bank_members(info))]
    for bank in banks:
        if clash := set(names).intersection(bank.members):
            raise CheckpointError(f"bank {bank.name!r} holds {min(clash)!r}, which exists besides")
    return tuple(banks)


def close_bank(bank: Bank, tensors: Mapping[str, Tensor]) -> Tensor:
    """
    Stack the slices of a bank.

    Args:
        bank: What to stack.
        tensors: Name to slice, all of one shape and dtype.

    Returns:
        The bank, with one more axis in front.

    Raises:
        CorruptError: A slice is missing, or they differ in shape or dtype.

    """
    if missing := [name for name in bank.members if name not in tensors]:
        raise CorruptError(f"bank {bank.name!r}: {missing[0]!r} is missing")
    slices = [tensors[name] for name in bank.members]
    if len({(part.shape, part.dtype) for part in slices}) != 1:
        raise CorruptError(f"bank {bank.name!r}: its slices differ in shape or dtype")
    return torch.stack(slices)
