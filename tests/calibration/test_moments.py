"""Sums of moments against slow float64 references."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.calibration.moments import BLOCK, Moments
from artpack.runners.losses import LogitsLoss


class Looped(nn.Module):
    """A table, a map that runs three times, and a head that shares the table."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(7, 6)
        self.step = nn.Linear(6, 6)
        self.head = nn.Linear(6, 7, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        for _ in range(3):
            x = x + self.step(x).tanh()
        logits: Tensor = self.head(x)
        return logits


def reference_moments(model: Looped, ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Run token by token in float64; positions do not see each other in this model."""
    table, weight, bias = (p.detach().double() for p in model.parameters())
    sums = {
        "hessian step.weight": torch.zeros(6, 6, dtype=torch.float64),
        "hessian table.weight": torch.zeros(6, 6, dtype=torch.float64),
        "rows step.weight": torch.zeros(6, dtype=torch.float64),
        "rows table.weight": torch.zeros(7, dtype=torch.float64),
        "lookups table.weight": torch.zeros(7, dtype=torch.float64),
        "output_covariances step.weight": torch.zeros(6, 6, dtype=torch.float64),
        "output_covariances table.weight": torch.zeros(7, 7, dtype=torch.float64),
    }
    for token, label in zip(ids.flatten().tolist(), labels.flatten().tolist(), strict=True):
        start = table[token].clone().requires_grad_()
        x, outputs = start, []
        for _ in range(3):
            sums["hessian step.weight"] += torch.outer(x.detach(), x.detach())
            outputs.append(weight @ x + bias)
            x = x + outputs[-1].tanh()
        sums["hessian table.weight"] += torch.outer(x.detach(), x.detach())
        logits = table @ x
        loss = logits.logsumexp(0) - logits[label]
        *steps, at_logits, at_start = torch.autograd.grad(loss, [*outputs, logits, start])
        for gradient in steps:
            sums["rows step.weight"] += gradient**2
            sums["output_covariances step.weight"] += torch.outer(gradient, gradient)
        sums["rows table.weight"] += at_logits**2
        sums["output_covariances table.weight"] += torch.outer(at_logits, at_logits)
        sums["lookups table.weight"][token] += (at_start**2).mean()
    return sums


def test_sums_are_those_of_a_slow_reference() -> None:
    model = Looped().requires_grad_(requires_grad=False)
    ids, labels = torch.randint(7, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    moments = Moments()
    with moments.watch(dict(model.named_parameters())):
        logits = model(ids)
        torch.autograd.backward(
            F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
        )
    got = {
        **{f"hessian {name}": total for name, total in moments.mean_hessians(1).items()},
        **{f"rows {name}": total for name, total in moments.mean_rows(1).items()},
        **{f"lookups {name}": total for name, total in moments.mean_lookups(1).items()},
        **{
            f"output_covariances {name}": total
            for name, total in moments.mean_output_covariances(1).items()
        },
    }
    expected = reference_moments(model, ids, labels)
    assert got.keys() == expected.keys()
    for name, total in expected.items():
        # Products of either sign cancel: what they lose is measured by the largest.
        atol = 2e-6 * float(total.abs().max())
        torch.testing.assert_close(got[name].double(), total, rtol=2e-6, atol=atol, msg=name)


def test_without_autograd_only_inputs_are_summed() -> None:
    model, moments = Looped(), Moments()
    with moments.watch(dict(model.named_parameters())), torch.no_grad():
        model(torch.zeros(1, 2, dtype=torch.int64))
    assert sorted(moments.hessians) == ["step.weight", "table.weight"]
    assert not moments.rows
    assert not moments.output_covariances
    assert not moments.lookups


def test_nothing_is_summed_once_the_watch_is_over() -> None:
    model, moments = Looped(), Moments()
    with moments.watch(dict(model.named_parameters())):
        pass
    model(torch.zeros(1, 2, dtype=torch.int64))
    assert not moments.hessians


@pytest.mark.parametrize("cols", [1, BLOCK - 1, BLOCK, 2 * BLOCK + 3])
def test_any_width_gives_an_exactly_symmetric_matrix(cols: int) -> None:
    linear, moments = nn.Sequential(nn.Linear(cols, 2)), Moments()
    x = torch.randn(5, cols, generator=torch.Generator().manual_seed(cols))
    with moments.watch(dict(linear.named_parameters())), torch.no_grad():
        linear(x)
        linear(x[:2])
    hessian = moments.mean_hessians(7)["0.weight"]
    assert torch.equal(hessian, hessian.T)
    expected = (x.double().T @ x.double() + x[:2].double().T @ x[:2].double()) / 7
    torch.testing.assert_close(hessian.double(), expected, rtol=1e-5, atol=1e-6)


def test_bf16_activations_are_summed_in_float32() -> None:
    linear, moments = nn.Sequential(nn.Linear(1, 1, dtype=torch.bfloat16)), Moments()
    with moments.watch(dict(linear.named_parameters())), torch.no_grad():
        for _ in range(300):  # a bfloat16 sum of ones stops at 256
            linear(torch.ones(1, 1, dtype=torch.bfloat16))
    assert moments.mean_hessians(1)["0.weight"].item() == 300


def test_one_input_of_several_maps_is_seen_by_each() -> None:
    pair, moments = nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 4)]), Moments()
    x = torch.randn(4, 3)
    with moments.watch(dict(pair.named_parameters())), torch.no_grad():
        for part in pair:
            part(x)
        pair[0](x + 1)
    hessians = moments.mean_hessians(1)
    torch.testing.assert_close(hessians["1.weight"], x.T @ x)
    torch.testing.assert_close(hessians["0.weight"], x.T @ x + (x + 1).T @ (x + 1))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_matrices_that_a_model_fuses_are_each_seen(axis: int, dtype: torch.dtype) -> None:
    """Two matrices are stored; the model has them in one, and may cast that as it runs."""
    generator = torch.Generator().manual_seed(2)
    fused = torch.randn(6, 6, generator=generator)
    x, back = torch.randn(5, 6, generator=generator), torch.randn(5, 6, generator=generator)
    first, second = torch.split(fused, [2, 4], axis)
    moments = Moments()
    with moments.watch({"first": first, "second": second}):
        outputs = x.to(dtype) @ fused.T.to(dtype)
        torch.autograd.backward(outputs, back.to(dtype))
    x, back = x.to(dtype).double(), back.to(dtype).double()
    spans = {"first": slice(0, 2), "second": slice(2, 6)}
    hessians = moments.mean_hessians(1)
    covariances = moments.mean_output_covariances(1)
    for name, span in spans.items():
        inputs, gradients = (x, back[:, span]) if axis == 0 else (x[:, span], back)
        torch.testing.assert_close(hessians[name].double(), inputs.T @ inputs)
        torch.testing.assert_close(covariances[name].double(), gradients.T @ gradients)


CLOSE: Any = {"rtol": 1e-5, "atol": 1e-6}
HEADS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda logits: logits,
    "soft cap": lambda logits: 3 * torch.tanh(logits / 3),
    "temperature": lambda logits: logits / 0.7,
    "half of them": lambda logits: torch.where(logits > 0, logits, 0.0),
}


@pytest.mark.parametrize("shape", HEADS)
def test_the_matrix_of_the_outputs_has_the_mean_squares_of_all_draws(shape: str) -> None:
    weight, x = torch.randn(5, 3), torch.randn(300, 3)
    found, outputs = sums_of_head(weight, x, HEADS[shape], labels=torch.arange(300) % 5)
    slopes = torch.func.vmap(torch.func.grad(lambda z: HEADS[shape](z).sum()))(x @ weight.T)
    p = outputs.softmax(-1)
    torch.testing.assert_close(found, (slopes.square() * p * (1 - p)).sum(0).double(), **CLOSE)


def test_a_matrix_whose_outputs_are_mixed_has_the_squares_of_the_draw() -> None:
    weight, x, labels = torch.randn(5, 3), torch.randn(300, 3), torch.arange(300) % 5

    def mixed(logits: Tensor) -> Tensor:
        return logits.flip(-1) - logits.mean(-1, keepdim=True)

    found, outputs = sums_of_head(weight, x, mixed, labels=labels)
    drawn = outputs.softmax(-1) - F.one_hot(labels, 5)
    back = drawn.flip(-1) - drawn.mean(-1, keepdim=True)
    torch.testing.assert_close(found, back.square().sum(0).double(), **CLOSE)


def sums_of_head(
    weight: Tensor, x: Tensor, head: Callable[[Tensor], Tensor], *, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Go back from given labels; return what is summed for the matrix, and the outputs."""
    moments, loss = Moments(), LogitsLoss()
    with moments.watch({"head": weight}):
        outputs = head(F.linear(x.requires_grad_(), weight))
        before = outputs.detach()
        see = partial(moments.see_outputs, outputs=before, squares=loss.squares)
        outputs.register_hook(see)  # type: ignore[no-untyped-call]
        F.cross_entropy(outputs, labels, reduction="sum").backward()  # type: ignore[no-untyped-call]
    return moments.rows["head"], before
