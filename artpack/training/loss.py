"""Losses that training minimizes."""

from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def training_loss(logits: Tensor, targets: Tensor, *, z_loss: float = 0.0) -> Tensor:
    """
    Return the mean cross-entropy, and a charge for logits far from normalized.

    Args:
        logits: (rows, window, vocabulary), float32.
        targets: int64 (rows, window).
        z_loss: Times the mean square of the log-sum-exp.

    Returns:
        Nats, 0-dim.

    Source: PR 2086.

    """
    flat = logits.flatten(0, -2)
    loss = F.cross_entropy(flat, targets.flatten())
    return loss + z_loss * flat.logsumexp(-1).square().mean() if z_loss else loss
