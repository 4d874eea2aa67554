"""Sums of moments next to slow references of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from artpack.calibration.moments import Moments


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Return normal numbers, float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


Kind = TypeVar("Kind", bound=nn.Module)


def frozen(module: Kind) -> Kind:
    """Return a module in evaluation mode and in float64 that learns nothing."""
    return module.double().eval().requires_grad_(requires_grad=False)


def collected(
    places: Mapping[str, Tensor], run: Callable[[], Tensor], gradient: Tensor | None = None
) -> dict[str, Tensor]:
    """
    Watch a run, and the way back from its output.

    Args:
        places: What is watched.
        run: Returns the output.
        gradient: At the output; None runs forward only.

    Returns:
        ``KIND NAME`` to sum.

    """
    moments = Moments()
    with moments.watch(places), torch.set_grad_enabled(gradient is not None):
        output = run()
        if gradient is not None:
            torch.autograd.backward(output, gradient)
    return named(moments)


def named(moments: Moments) -> dict[str, Tensor]:
    """Return ``KIND NAME`` to sum."""
    means = {
        "hessian": moments.mean_hessians(1),
        "rows": moments.mean_rows(1),
        "covariance": moments.mean_output_covariances(1),
        "lookups": moments.mean_lookups(1),
    }
    return {f"{kind} {name}": total for kind, sums in means.items() for name, total in sums.items()}


@dataclass
class Reference:
    """Sums of vectors that are handed over, in float64."""

    sums: dict[str, Tensor] = field(default_factory=dict)

    def inputs(self, name: str, x: Tensor, share: float = 1.0) -> None:
        """Add inputs (..., cols)."""
        flat = x.detach().double().reshape(-1, x.shape[-1])
        self.add(f"hessian {name}", share * flat.T @ flat)

    def gradients(self, name: str, gradients: Tensor) -> None:
        """Add gradients at outputs (..., rows)."""
        flat = gradients.detach().double().reshape(-1, gradients.shape[-1])
        self.add(f"rows {name}", flat.square().sum(0))
        self.add(f"covariance {name}", flat.T @ flat)

    def looked_up(self, name: str, index: Tensor, rows: int, gradients: Tensor) -> None:
        """Add gradients (..., cols) of the rows (...) that were looked up."""
        squares = gradients.detach().double().square().mean(-1).flatten()
        chosen = nn.functional.one_hot(index.flatten(), rows).double()
        self.add(f"lookups {name}", chosen.T @ squares)

    def add(self, name: str, more: Tensor) -> None:
        """Add to a sum."""
        self.sums[name] = self.sums.get(name, torch.zeros_like(more)) + more


def assert_same_sums(got: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compare float32 sums, of products that may cancel, with others."""
    assert sorted(got) == sorted(expected)
    for name, total in expected.items():
        atol = 2e-6 * float(total.abs().max())
        torch.testing.assert_close(got[name].double(), total.double(), rtol=1e-5, atol=atol)
