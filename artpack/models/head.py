"""The output head: tied projection and softcaps, from hidden state to logits."""

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.models.mechanisms import Softcap, Temperature


class TiedHead(nn.Module):
    """Multiplication with the token table."""

    def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
        """Return raw logits, (..., dim) and (vocabulary, dim) to (..., vocabulary)."""
        return F.linear(hidden, table.to(hidden.dtype))


def softcap(raw: Tensor, cap: Softcap | None) -> Tensor:
    """
    Bound logits.

    Args:
        raw: Float tensor, any shape.
        cap: Kind and limit; None leaves them as they are.

    Returns:
        The same shape, magnitudes up to the limit.

    Source: PR 2086 for the polynomial ``u - u³/3 + u⁵/15``.

    >>> import torch
    >>> raw = torch.tensor([-30.0, -10.0, 0.5, 25.0], dtype=torch.float64)
    >>> softcap(raw, Softcap("poly5", 10.0)).numpy().round(6).tolist()
    [-10.0, -7.333333, 0.499584, 10.0]

    """
    if cap is None:
        return raw
    if cap.kind == "tanh":
        return cap.limit * (raw / cap.limit).tanh()
    u = (raw / cap.limit).clamp(-2, 2)
    square = u * u
    return cap.limit * (u * (1 - square / 3 + square * square / 15)).clamp(-1, 1)


def cool(
    raw: Tensor, cap: Softcap | None, place: Temperature, temperature: Tensor | float
) -> Tensor:
    """
    Bound logits and divide them by a temperature, in the model's order.

    Args:
        raw: Float tensor, any shape.
        cap: Kind and limit of the softcap, or None.
        place: Which of the two comes first.
        temperature: Above 0; 1 changes nothing.

    Returns:
        The same shape.

    """
    if place.before_softcap:
        return softcap(raw / temperature, cap)
    return softcap(raw, cap) / temperature
