"""
Muon: momentum whose update is replaced by the nearest orthogonal matrix.

``torch.optim.Muon`` is the same for one matrix, constant momentum and one triple of
coefficients. The seeds raise the momentum while they train, which torch's buffer, a
running mean instead of a sum, turns into another update; they orthogonalize whole banks;
and two of them normalize rows or change the coefficients from round to round.

Source: K. Jordan, https://kellerjordan.github.io/posts/muon; N. Amsel et al., The Polar
Express, arXiv:2505.16932; the five published systems.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Triple: TypeAlias = tuple[float, float, float]

QUINTIC: Triple = (3.4445, -4.7750, 2.0315)
POLAR_EXPRESS: tuple[Triple, ...] = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)
EPSILON = 1e-7
"""Added to norms before they divide."""


def orthogonalize(
    matrix: Tensor, coefficients: Sequence[Triple], *, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """
    Move all singular values of a matrix towards 1 by Newton-Schulz rounds.

    Args:
        matrix: (..., rows, cols), each matrix by itself.
        coefficients: For each round ``a, b, c`` of ``a X + (b A + c A²) X``, ``A = X Xᵀ``.
        dtype: Of the arithmetic.

    Returns:
        The same shape, in that dtype.

    """
    tall = matrix.size(-2) > matrix.size(-1)
    x = matrix.to(dtype)
    x = x.mT if tall else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + EPSILON)
    for a, b, c in coefficients:
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.mT if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """
    Nesterov momentum, orthogonalized, with decoupled weight decay.

    The step of a matrix is its learning rate times ``sqrt(max(1, rows / cols))``.

    Args:
        params: Matrices, or banks of matrices along the first axis.
        lr: Learning rate.
        momentum: Share of the buffer that is kept; a group's may be changed at any step.
        weight_decay: Times the learning rate, the share of a weight lost in a step.
        coefficients: Those of each round of :func:`orthogonalize`.
        normalize_rows: Divide each row of the update by its norm first, as PR 1934 and,
            by root mean square, PR 2086 do.
        dtype: Of the orthogonalization.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        coefficients: Sequence[Triple] = (QUINTIC,) * 5,
        normalize_rows: bool = False,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "coefficients": tuple(coefficients),
            "normalize_rows": normalize_rows,
            "dtype": dtype,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Update every matrix that has a gradient; ``closure`` is torch's and not used."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    update = self._update(param, param.grad, group)
                    scale = max(1.0, param.size(-2) / param.size(-1)) ** 0.5
                    param.mul_(1 - group["lr"] * group["weight_decay"])
                    param.add_(update.to(param.dtype), alpha=-group["lr"] * scale)

    def _update(self, param: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state, momentum = self.state[param], group["momentum"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(param)
        buffer = state["momentum_buffer"].mul_(momentum).add_(gradient)
        update = torch.add(gradient, buffer, alpha=momentum)
        if group["normalize_rows"]:
            update = update / update.norm(dim=-1, keepdim=True).clamp(min=EPSILON)
        return orthogonalize(update, group["coefficients"], dtype=group["dtype"])
