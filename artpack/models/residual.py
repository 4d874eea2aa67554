"""Joins of layers: U-Net skips and parallel residual lanes."""

from typing import Literal

from torch import Tensor, nn


def add_skip(x: Tensor, skip: Tensor, weight: Tensor, gate: Tensor | None) -> Tensor:
    """
    Join an earlier layer's output to the stream.

    Args:
        x: (B, T, dim), the stream.
        skip: (B, T, dim), the earlier output.
        weight: (dim,) factor on the skip.
        gate: (dim,) logits of the stream's share, or None to add.

    Returns:
        ``x + weight * skip``, or with a gate ``g * x + (1 - g) * weight * skip``.

    """
    weighted = weight.to(x.dtype) * skip
    if gate is None:
        return x + weighted
    return weighted + gate.to(x.dtype).sigmoid() * (x - weighted)


class LaneMix(nn.Module):
    """Adds what attention and the MLP made to both lanes, each by its own factor."""

    def forward(
        self, lanes: tuple[Tensor, Tensor], added: tuple[Tensor, Tensor], keep: Tensor, post: Tensor
    ) -> tuple[Tensor, Tensor]:
        """
        Mix one layer into the lanes.

        Args:
            lanes: Two of (B, T, dim).
            added: Attention's and the MLP's output, (B, T, dim) each.
            keep: (2,) factor on each lane.
            post: (2, 2) factor, [source, lane].

        Returns:
            The two lanes after the layer.

        """
        keep, post = keep.to(lanes[0].dtype), post.to(lanes[0].dtype)
        attended, transformed = added
        return (
            keep[0] * lanes[0] + post[0, 0] * attended + post[1, 0] * transformed,
            keep[1] * lanes[1] + post[0, 1] * attended + post[1, 1] * transformed,
        )


def read_lanes(lanes: tuple[Tensor, Tensor], read: Literal["mean", "attention", "mlp"]) -> Tensor:
    """
    Return what leaves the two lanes.

    Args:
        lanes: Two of (B, T, dim).
        read: Both lanes' mean, or the one that attention or the MLP reads.

    Returns:
        (B, T, dim).

    """
    if read == "mean":
        return 0.5 * (lanes[0] + lanes[1])
    return lanes[0] if read == "attention" else lanes[1]
