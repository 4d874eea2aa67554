"""Typed reads of what an archive holds: each has the promised type, or is named as a lie."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from artpack.artifact.format import shape_fault
from artpack.errors import CorruptError

MAX_SHOWN = 8


def as_dict(value: object, where: str) -> dict[str, Any]:
    """
    Check that a value is a dict with text keys.

    Args:
        value: Anything out of an archive.
        where: What to call it in the message.

    Returns:
        The value.

    Raises:
        CorruptError: It is not.

    """
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CorruptError(f"{where} is not a dict with text keys")
    return value


def as_count(value: object, where: str, *, most: int = 1 << 40) -> int:
    """
    Check that a value is a whole number from 0 to a limit.

    Args:
        value: Anything out of an archive.
        where: What to call it in the message.
        most: The largest that is accepted.

    Returns:
        The value.

    Raises:
        CorruptError: It is not.

    """
    if type(value) is not int or not 0 <= value <= most:
        raise CorruptError(f"{where} is {shown(value)}, not a whole number from 0 to {most}")
    return value


def as_shape(value: object, where: str, *, most: int = 1 << 40) -> tuple[int, ...]:
    """
    Check that a value is the shape of a tensor.

    Args:
        value: Anything out of an archive.
        where: What to call it in the message.
        most: How many elements there may be.

    Returns:
        The shape, of at most 8 axes.

    Raises:
        CorruptError: It is not, or is too large.

    """
    if not isinstance(value, list | tuple) or len(value) > 8:
        raise CorruptError(f"{where} is no shape")
    shape = tuple(as_count(size, where) for size in value)
    if math.prod(shape) > most:
        raise CorruptError(f"{where} is {shape}, more than the limit of {most} elements")
    if fault := shape_fault(shape):
        raise CorruptError(f"{where}: {fault}")
    return shape


def as_tensor(value: object, where: str, dtype: torch.dtype | None = None) -> Tensor:
    """
    Check that a value is a plain tensor, all of it in memory.

    Args:
        value: Anything out of an archive.
        where: What to call it in the message.
        dtype: Its type; None for any.

    Returns:
        The value, without gradient.

    Raises:
        CorruptError: It is not, or a few bytes pretend to be many by strides of zero.

    """
    if not isinstance(value, Tensor) or value.layout is not torch.strided:
        raise CorruptError(f"{where} is not a tensor")
    if not value.is_contiguous() or value.nbytes > value.untyped_storage().nbytes():
        raise CorruptError(f"{where} is not a contiguous tensor")
    if fault := shape_fault(value.shape):
        raise CorruptError(f"{where}: {fault}")
    if dtype is not None and value.dtype != dtype:
        raise CorruptError(f"{where} is {value.dtype}, not {dtype}")
    return value.detach()


def shown(value: object) -> str:
    """
    Say what a value is: a tensor, or a list of lists, may be too much to print.

    Args:
        value: Anything out of an archive.

    Returns:
        The beginning of what Python writes for numbers, text and short lists of them,
        else its type.

    >>> shown("a"), shown({"type": 1}), shown([[1]])
    ("'a'", "{'type': 1}", 'a list')

    """
    items: list[object] = [value]
    if isinstance(value, dict) and len(value) <= MAX_SHOWN:
        items = [*value, *value.values()]
    elif isinstance(value, list | tuple) and len(value) <= MAX_SHOWN:
        items = [*value]
    if all(item is None or isinstance(item, bool | int | float | str) for item in items):
        return f"{value!r:.60}"
    return f"a {type(value).__name__}"


def same(value: object, wanted: object) -> bool:
    """
    Compare a value, but only with its like: to a number a tensor is nothing to compare.

    Args:
        value: Anything out of an archive.
        wanted: A number, text, or a dict of these with text keys.

    Returns:
        Whether they are equal and of one type.

    >>> same({"n": 1}, {"n": 1}), same(True, 1), same(torch.ones(2), 1)
    (True, False, False)

    """
    if type(value) is not type(wanted):
        return False
    if isinstance(value, dict) and isinstance(wanted, dict):
        texts = all(isinstance(key, str) for key in value)
        return (
            texts
            and value.keys() == wanted.keys()
            and all(same(value[k], wanted[k]) for k in wanted)
        )
    return bool(value == wanted)


def pop(fields: dict[str, Any], key: str, where: str) -> Any:
    """
    Take a field out of a dict; what is left in the end was not asked for.

    Args:
        fields: A dict that the caller owns.
        key: Which field.
        where: What to call the dict in the message.

    Returns:
        The field.

    Raises:
        CorruptError: There is no such field.

    """
    if key not in fields:
        raise CorruptError(f"{where} has no {key!r}")
    return fields.pop(key)


def check_empty(fields: Mapping[str, Any], where: str) -> None:
    """
    Check that every field was taken.

    Args:
        fields: What is left.
        where: What to call it in the message.

    Raises:
        CorruptError: Something is left.

    """
    if fields:
        raise CorruptError(f"{where} has an unknown entry {min(fields)!r:.80}")
