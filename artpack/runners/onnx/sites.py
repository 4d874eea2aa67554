"""Sites of a graph: what each stored matrix is multiplied with, as rows of its columns."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from artpack.graphs.uses import (
    CONVOLUTIONS,
    FACTORS,
    RECURRENT,
    Use,
    attribute,
    inputs_are_columns,
)

if TYPE_CHECKING:
    from onnx import NodeProto

    from artpack.graphs.uses import Path

Rows = Callable[[Tensor], Iterator[Tensor]]
"""From a value to what is multiplied: blocks (slices, n, columns), slices 1 if all see the same."""

MAX_BLOCK = 1 << 24
"""Numbers of unfolded inputs at once."""


@dataclass(frozen=True, eq=False)
class Site:
    """
    A value that a stored tensor is multiplied with.

    Attributes:
        name: The tensor.
        value: The value's name.
        path: Where it is.
        rows: What the value is to the tensor.
        share: How much each row counts.
    """

    name: str
    value: str
    path: "Path"
    rows: Rows
    share: float = 1.0


def sites_of(use: Use, shape: tuple[int, ...]) -> Iterator[Site]:
    """
    Yield what a node multiplies a tensor with.

    Args:
        use: The node.
        shape: The tensor's, in the graph.

    Yields:
        Nothing where a node looks rows up, or does something else.

    """
    node, name = use.node, use.origin.name
    if inputs_are_columns(use) is None or node.op_type == "Gather":
        return
    if node.op_type in CONVOLUTIONS:
        window = _window(node, shape[2:])
        rows = partial(_unfolded, window=window)
        yield Site(name, node.input[0], use.path, rows, 1 / window.groups)
    elif node.op_type in RECURRENT:
        yield from _recurrent(use)
    else:
        index = 1 - use.index if node.op_type in FACTORS else 0
        flag = attribute(node, "transB" if index else "transA")
        # The other factor's rows are columns of ours, unless it is transposed.
        turned = bool(flag) != bool(index)
        rows = partial(_factor, slices=shape[0] if len(shape) == 3 else 1, turned=turned)
        yield Site(name, node.input[index], use.path, rows)


def _recurrent(use: Use) -> Iterator[Site]:
    node, name = use.node, use.origin.name
    if attribute(node, "layout"):
        return
    if use.index == 1:
        yield Site(name, node.input[0], use.path, _flat)
        return
    direction = next((a.s for a in node.attribute if a.name == "direction"), b"forward")
    if len(node.output) and node.output[0]:
        yield Site(name, node.output[0], use.path, partial(_states, direction=direction))
    if len(node.input) > 5 and node.input[5]:
        yield Site(name, node.input[5], use.path, _by_direction)


def _flat(value: Tensor) -> Iterator[Tensor]:
    yield value.reshape(1, -1, value.shape[-1])


def _factor(value: Tensor, slices: int, *, turned: bool) -> Iterator[Tensor]:
    if turned:
        value = value.mT
    if slices > 1 and value.ndim > 2 and value.shape[-3] == slices:
        value = value.movedim(-3, 0)
        yield value.reshape(slices, -1, value.shape[-1])
    else:
        yield from _flat(value)


def _states(value: Tensor, direction: bytes) -> Iterator[Tensor]:
    """Yield the states that a step starts from: (..., steps, directions, batch, units)."""
    value = value.reshape(-1, *value.shape[-4:])
    forward, backward = value[:, :-1], value[:, 1:]
    if direction == b"bidirectional":
        states = torch.stack([forward[:, :, 0], backward[:, :, 1]])
    else:
        states = (backward if direction == b"reverse" else forward)[None, :, :, 0]
    yield states.reshape(len(states), -1, states.shape[-1])


def _by_direction(value: Tensor) -> Iterator[Tensor]:
    value = value.movedim(-3, 0)
    yield value.reshape(len(value), -1, value.shape[-1])


@dataclass(frozen=True)
class _Window:
    """What a convolution sees at once: sizes along its axes, and its groups of channels."""

    kernel: tuple[int, ...]
    groups: int
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    same: bytes

    @property
    def spans(self) -> list[int]:
        """How far the kernel reaches along each axis."""
        pairs = zip(self.kernel, self.dilations, strict=True)
        return [(size - 1) * dilation + 1 for size, dilation in pairs]


def _window(node: "NodeProto", kernel: tuple[int, ...]) -> _Window:
    lists = {one.name: tuple(one.ints) for one in node.attribute}
    auto_pad = next((one.s for one in node.attribute if one.name == "auto_pad"), b"")
    ones, zeros = (1,) * len(kernel), (0,) * (2 * len(kernel))
    return _Window(
        kernel,
        attribute(node, "group", 1),
        lists.get("strides", ones),
        lists.get("dilations", ones),
        lists.get("pads", zeros),
        auto_pad if auto_pad.startswith(b"SAME") else b"",
    )


def _unfolded(value: Tensor, window: _Window) -> Iterator[Tensor]:
    """Yield the windows of a convolution's inputs, (1, n, channels of a group x kernel)."""
    axes = len(window.kernel)
    value = _padded(value.reshape(-1, *value.shape[-axes - 1 :]), window)
    value = value.reshape(len(value), window.groups, -1, *value.shape[2:])
    for axis, (span, stride) in enumerate(zip(window.spans, window.strides, strict=True)):
        value = value.unfold(3 + axis, span, stride)
    # (batch, groups, channels, *outputs, *kernel), the kernel still with its holes.
    value = value.movedim(2, 2 + axes)
    lines = max(1, MAX_BLOCK * value.shape[2] // max(1, value.numel()))
    for low in range(0, value.shape[2], lines):
        block = value[:, :, low : low + lines]
        for axis, (size, dilation) in enumerate(zip(window.kernel, window.dilations, strict=True)):
            if dilation > 1:
                block = block.index_select(3 + axes + axis, torch.arange(size) * dilation)
        yield block.reshape(1, -1, math.prod(block.shape[2 + axes :]))


def _padded(value: Tensor, window: _Window) -> Tensor:
    axes = len(window.kernel)
    pads = _same(value.shape[2:], window) if window.same else window.pads
    # torch wants the last axis first.
    sizes = [size for axis in reversed(range(axes)) for size in (pads[axis], pads[axes + axis])]
    return F.pad(value, sizes) if any(sizes) else value


def _same(sizes: tuple[int, ...], window: _Window) -> tuple[int, ...]:
    """Return the padding with which there are ``size / stride`` outputs, rounded up."""
    totals = [
        max(0, (-(-size // stride) - 1) * stride + span - size)
        for size, span, stride in zip(sizes, window.spans, window.strides, strict=True)
    ]
    small, large = [total // 2 for total in totals], [-(-total // 2) for total in totals]
    return (*large, *small) if window.same == b"SAME_LOWER" else (*small, *large)
