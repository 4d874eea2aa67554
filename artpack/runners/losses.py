"""Losses between what a model says and what it said before its weights were changed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from artpack.errors import UsageError
from artpack.models.generate import draw_tokens
from artpack.runners.batches import Draws


class OutputLoss(Protocol):
    """What a change of a model's outputs costs; 0 where they are the same."""

    @property
    def unit(self) -> str:
        """What the loss is counted in, for people."""

    def reference(self, outputs: Tensor) -> Tensor:
        """Return what is kept of the outputs (n, d) of the model as it is."""

    def distance(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """Return the loss of each row, (n,), differentiable."""

    def sample(self, outputs: Tensor, draws: Draws) -> Tensor:
        """
        Draw a scalar whose gradient tells how outputs matter.

        Args:
            outputs: (n, d) of the model as it is.
            draws: Random numbers of this batch.

        Returns:
            Sum over rows of something whose gradient at each row has, over all draws, the
            second derivative of the loss there as its mean outer product.

        """

    def squares(self, outputs: Tensor) -> Tensor:
        """
        Return what the draws of :meth:`sample` come to.

        Args:
            outputs: (n, d) of the model as it is.

        Returns:
            The mean over all draws of the gradient's squares, element by element, (n, d).

        """


class LogitsLoss:
    """KL divergence of the distributions that logits stand for, in nats a row."""

    unit = "nats"

    def reference(self, outputs: Tensor) -> Tensor:
        """Return logarithms of probabilities, float32 (n, d)."""
        return outputs.float().log_softmax(-1)

    def distance(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """Return the divergence from the reference, (n,)."""
        return (reference.exp() * (reference - outputs.float().log_softmax(-1))).sum(-1)

    def sample(self, outputs: Tensor, draws: Draws) -> Tensor:
        """Return the loss of labels drawn from the model itself: one draw of the true Fisher."""
        logits = outputs.float()
        labels = draw_tokens(logits.detach(), draws.uniform(len(logits)).to(logits.device))
        return F.cross_entropy(logits, labels, reduction="sum")

    def squares(self, outputs: Tensor) -> Tensor:
        """Return ``p (1 - p)``."""
        probabilities = outputs.float().softmax(-1)
        return probabilities * (1 - probabilities)


@dataclass(frozen=True)
class SquaredLoss:
    """
    Squared error of outputs, as a share of their variance.

    Attributes:
        variance: Mean over rows of their squared distance from the mean row.
    """

    variance: float = 1.0
    unit = "of the outputs' variance"

    def reference(self, outputs: Tensor) -> Tensor:
        """Return the outputs, float32."""
        return outputs.float()

    def distance(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """Return the squared error of each row over the variance, (n,)."""
        return (outputs.float() - reference).square().sum(-1) / self.variance

    def sample(self, outputs: Tensor, draws: Draws) -> Tensor:
        """Return outputs times Gaussian numbers of the variance that the loss's curve has."""
        noise = draws.normal(outputs.shape).to(outputs.device)
        scale: float = (2.0 / self.variance) ** 0.5
        return (outputs.float() * noise).sum() * scale

    def squares(self, outputs: Tensor) -> Tensor:
        """Return the same number everywhere."""
        return torch.full_like(outputs, 2.0 / self.variance, dtype=torch.float32)


class CosineLoss:
    """One minus the cosine between each row and what it was."""

    unit = "of the cosine"

    def reference(self, outputs: Tensor) -> Tensor:
        """Return the directions of the outputs, float32."""
        return F.normalize(outputs.float(), dim=-1)

    def distance(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """Return one minus the cosine of each row, (n,)."""
        # Half the squared distance of directions: small differences are not lost in 1 - 1.
        return (F.normalize(outputs.float(), dim=-1) - reference).square().sum(-1) / 2

    def sample(self, outputs: Tensor, draws: Draws) -> Tensor:
        """Return directions times Gaussian numbers: what lies along a row is no change."""
        noise = draws.normal(outputs.shape).to(outputs.device)
        return (F.normalize(outputs.float(), dim=-1) * noise).sum()

    def squares(self, outputs: Tensor) -> Tensor:
        """Return what is left of variance 1 across the row, over its squared length."""
        rows = outputs.float()
        lengths = rows.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        squares: Tensor = (1 - (rows / lengths).square()) / lengths.square()
        return squares


@dataclass(frozen=True)
class CustomLoss:
    """
    A loss of the caller's own; draws are those of the squared error.

    Attributes:
        function: From the outputs before (n, d) and after to the loss of each row (n,).
        variance: As :class:`SquaredLoss` has it.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    variance: float = 1.0
    unit = "of the loss that was given"

    def reference(self, outputs: Tensor) -> Tensor:
        """Return the outputs, float32."""
        return outputs.float()

    def distance(self, reference: Tensor, outputs: Tensor) -> Tensor:
        """Return what the function says, checked to be one number a row."""
        found = self.function(reference, outputs.float())
        if not isinstance(found, Tensor) or found.shape != reference.shape[:1]:
            raise UsageError(
                f"`loss` must give one number a row, a tensor ({len(reference)},); it gave"
                f" {tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__}"
            )
        return found

    def sample(self, outputs: Tensor, draws: Draws) -> Tensor:
        """Return what :class:`SquaredLoss` draws."""
        return SquaredLoss(self.variance).sample(outputs, draws)

    def squares(self, outputs: Tensor) -> Tensor:
        """Return what :class:`SquaredLoss` does."""
        return SquaredLoss(self.variance).squares(outputs)


LossName: TypeAlias = str | Callable[[Tensor, Tensor], Tensor]
"""``logits``, ``outputs``, ``cosine``, or a function of the caller's own."""

NAMES = ("logits", "outputs", "cosine")


def make_loss(asked: LossName, outputs: Callable[[], Tensor]) -> OutputLoss:
    """
    Make a loss of what was asked for.

    Args:
        asked: Its name, or a function.
        outputs: Gives outputs (n, d) of the model as it is, should their variance matter.

    Returns:
        The loss.

    Raises:
        UsageError: There is no such loss, or the outputs are all the same.

    """
    if asked == "logits":
        return LogitsLoss()
    if asked == "cosine":
        return CosineLoss()
    if callable(asked):
        return CustomLoss(asked, _variance(outputs()))
    if asked == "outputs":
        return SquaredLoss(_variance(outputs()))
    raise UsageError(f"`loss` must be {', '.join(NAMES)} or a function, got {asked!r}")


def _variance(outputs: Tensor) -> float:
    rows = outputs.double()
    check_outputs(rows)
    variance = float((rows - rows.mean(0)).square().sum(-1).mean())
    if not variance:
        raise UsageError(
            f"the outputs are the same in each of {len(rows)} rows, so that errors have no scale:"
            " give other or more batches"
        )
    return variance


def check_outputs(outputs: Tensor) -> None:
    """
    Check that outputs are numbers.

    Args:
        outputs: Of a model as it is, (n, d).

    Raises:
        UsageError: One is NaN or infinite.

    """
    if not bool(outputs.isfinite().all()):
        raise UsageError(
            "the model's outputs are NaN or infinite on some batch: give batches that it was"
            " made for, and mask nothing with infinities"
        )


def draw_loss(loss: OutputLoss, outputs: Tensor, draws: Draws) -> Tensor:
    """
    Draw a scalar whose gradient tells how outputs matter.

    Args:
        loss: Of these outputs.
        outputs: (n, d) of the model as it is.
        draws: Random numbers of this batch.

    Returns:
        What :meth:`OutputLoss.sample` gives.

    Raises:
        UsageError: No gradient comes back from it, or outputs are no numbers.

    """
    check_outputs(outputs.detach())
    sampled = loss.sample(outputs, draws)
    if not sampled.requires_grad:
        raise UsageError(
            "no gradient comes back from the model's outputs: they must not be detached,"
            " rounded or made without gradients; `artpack.calibrate` without its `fisher` and"
            " `artpack.compress` with that calibration alone need none"
        )
    return sampled
