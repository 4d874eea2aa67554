"""What a convolution multiplies its kernel with, and where its outputs are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

MAX_ELEMENTS = 1 << 24
"""Bounds what is unfolded at once: 64 MiB of float32."""


@dataclass(frozen=True)
class Geometry:
    """
    How a kernel moves over its input; one number for each axis of positions.

    Attributes:
        kernel: Sizes of the kernel.
        stride: Distance of its places.
        padding: Zeros on either side of the input.
        dilation: Distance of its elements.
        groups: Groups of channels; each output reads one.
    """

    kernel: Sequence[int]
    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int


def unfold(x: Tensor, geometry: Geometry) -> Iterator[Tensor]:
    """
    Unfold the input of a convolution into what the rows of its kernel are multiplied with.

    Args:
        x: (batch, channels, ...) with one axis of positions or more.
        geometry: Of the convolution.

    Yields:
        (vectors, channels / groups * elements of the kernel), the vectors of all groups,
        some inputs of the batch at a time.

    """
    rank = len(geometry.kernel)
    padded = F.pad(x, [size for size in reversed(geometry.padding) for _ in range(2)])
    axes = zip(geometry.kernel, geometry.stride, geometry.dilation, strict=True)
    for axis, (size, stride, dilation) in enumerate(axes):
        reach = dilation * (size - 1) + 1
        padded = padded.unfold(axis + 2, reach, stride)[..., ::dilation]
    grouped = padded.reshape(len(x), geometry.groups, -1, *padded.shape[2:])
    # (batch, groups, positions..., channels, kernel...)
    windows = grouped.movedim(2, 2 + rank)
    at_once = max(1, MAX_ELEMENTS // max(1, windows[:1].numel()))
    for some in torch.split(windows, at_once):
        yield some.flatten(2 + rank).flatten(0, -2)


def output_vectors(output: Tensor) -> Tensor:
    """Return the channels (vectors, channels) of (batch, channels, ...)."""
    return output.movedim(1, -1).flatten(0, -2)
