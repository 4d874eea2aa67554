"""The optimizers take the steps that torch's take."""

import pytest
import torch
from torch import Tensor, nn

from artpack.evaluation.ttt.attribution import at_rate_zero
from artpack.evaluation.ttt.optimizer_steps import clip, optimizer
from artpack.evaluation.ttt.recipe import OptimizerSettings, Phased
from tests.evaluation.ttt.conftest import tiny_recipe

RULES = [
    OptimizerSettings(kind="sgd", lr=0.1, momentum=0.9),
    OptimizerSettings(kind="sgd", lr=0.1, momentum=0.0),
    OptimizerSettings(kind="sgd", lr=0.1, momentum=0.5, weight_decay=0.3),
    OptimizerSettings(kind="adamw", lr=0.01, beta2=0.95),
    OptimizerSettings(kind="adamw", lr=0.01, beta1=0.0, epsilon=1e-10, weight_decay=1.0),
]


def torchs(rule: OptimizerSettings, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    if rule.kind == "sgd":
        return torch.optim.SGD(
            parameters, lr=rule.lr, momentum=rule.momentum, weight_decay=rule.weight_decay
        )
    return torch.optim.AdamW(
        parameters,
        lr=rule.lr,
        betas=(rule.beta1, rule.beta2),
        eps=rule.epsilon,
        weight_decay=rule.weight_decay,
    )


@pytest.mark.parametrize("rule", RULES)
def test_steps_are_torchs(rule: OptimizerSettings) -> None:
    torch.manual_seed(0)
    start = [torch.randn(3, 4), torch.randn(5)]
    ours = [nn.Parameter(tensor.clone()) for tensor in start]
    theirs = [nn.Parameter(tensor.clone()) for tensor in start]
    own, other = optimizer(rule, ours), torchs(rule, theirs)
    for _ in range(5):
        for mine, yours in zip(ours, theirs, strict=True):
            mine.grad = yours.grad = torch.randn_like(mine)
        own.step(rule.lr)
        other.step()
    for mine, yours in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, yours, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_a_state_carries_on_and_a_reset_starts_anew(rule: OptimizerSettings) -> None:
    def walk(parameter: Tensor, gradients: list[Tensor], *, keep: bool) -> Tensor:
        own = optimizer(rule, [parameter])
        for gradient in gradients:
            parameter.grad = gradient
            own.step(rule.lr)
            state = {name: tensor.clone() for name, tensor in own.state().items()}
            own.reset()
            if keep:
                own = optimizer(rule, [parameter])
                own.load(state)
        return parameter.detach().clone()

    gradients = [torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]), torch.tensor([0.0, 0.1])]
    kept, forgotten = (
        walk(torch.zeros(2, requires_grad=True), gradients, keep=keep) for keep in (True, False)
    )
    straight = torch.zeros(2, requires_grad=True)
    own = optimizer(rule, [straight])
    for gradient in gradients:
        straight.grad = gradient
        own.step(rule.lr)
    assert torch.equal(kept, straight)
    assert torch.equal(forgotten, straight) == (rule.kind == "sgd" and not rule.momentum)


def test_clipping_is_torchs() -> None:
    for scale in (0.1, 100.0):
        gradient = torch.tensor([3.0, 4.0]) * scale
        parameter = nn.Parameter(torch.zeros(2))
        parameter.grad = gradient.clone()
        nn.utils.clip_grad_norm_([parameter], 1.0)
        torch.testing.assert_close(gradient * clip(gradient.norm(), 1.0), parameter.grad)


def test_rates_fall_along_half_a_cosine() -> None:
    rule = OptimizerSettings(kind="sgd", lr=1.0, lr_end=0.1)
    assert [rule.rate(chunk, 3) for chunk in range(3)] == pytest.approx([1.0, 0.55, 0.1])
    assert rule.rate(0, 1) == 1.0
    assert OptimizerSettings(kind="sgd", lr=1.0, schedule="constant").rate(7, 9) == 1.0


def warming(chunks: int, warmup_chunks: int) -> list[float]:
    """Return the rates of all chunks that something is learned from."""
    rule = OptimizerSettings(kind="sgd", lr=1.0, warmup_chunks=warmup_chunks, warmup_lr=0.2)
    return [rule.rate(chunk, chunks) for chunk in range(chunks - 1)]


@pytest.mark.parametrize(
    ("chunks", "warmup_chunks", "rates"),
    [
        (5, 0, [1.0, 0.853553391, 0.5, 0.146446609]),
        # The only chunk of the rise is where it starts.
        (5, 1, [0.2, 1.0, 0.75, 0.25]),
        (5, 2, [0.2, 1.0, 1.0, 0.5]),
        (6, 3, [0.2, 0.6, 1.0, 1.0, 0.5]),
        # Longer than there are chunks to learn from: all of them rise.
        (5, 4, [0.2, 0.466666667, 0.733333333, 1.0]),
        (5, 99, [0.2, 0.466666667, 0.733333333, 1.0]),
        (2, 1, [0.2]),
        (2, 0, [1.0]),
    ],
)
def test_rates_rise_and_then_fall(chunks: int, warmup_chunks: int, rates: list[float]) -> None:
    assert warming(chunks, warmup_chunks) == pytest.approx(rates)


def test_a_constant_rate_rises_too_and_nothing_is_left_of_it_at_rate_zero() -> None:
    rule = OptimizerSettings(kind="sgd", lr=1.0, schedule="constant", warmup_chunks=2)
    assert [rule.rate(chunk, 5) for chunk in range(4)] == [0.0, 1.0, 1.0, 1.0]
    assert rule.rate(0, 1) == 1.0
    recipe = tiny_recipe("phased", "shared.warmup_chunks=2", "shared.warmup_lr=0.5")
    still = at_rate_zero(recipe)
    assert isinstance(still, Phased)
    assert {still.shared.rate(chunk, 5) for chunk in range(4)} == {0.0}
