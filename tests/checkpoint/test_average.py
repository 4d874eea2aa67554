"""Averages against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from artpack.checkpoint import Checkpoint, from_state_dict
from artpack.checkpoint.average import Average, ema_weights, mean_weights
from artpack.errors import CheckpointError, UsageError


def some_checkpoints(count: int = 4, dtype: torch.dtype = torch.float32) -> list[Checkpoint]:
    draw = torch.Generator().manual_seed(0)
    return [
        from_state_dict(
            {
                "w": torch.randn(3, 5, generator=draw).to(dtype),
                "step": torch.tensor(i),
            }
        )
        for i in range(count)
    ]


def stack(checkpoints: list[Checkpoint]) -> Tensor:
    return torch.stack([checkpoint.read("w").double() for checkpoint in checkpoints])


def test_the_mean_is_the_mean() -> None:
    checkpoints = some_checkpoints()
    average = Average(checkpoints, mean_weights(4))
    assert torch.equal(average.read("w"), stack(checkpoints).mean(0).float())


@pytest.mark.parametrize("decay", [0.1, 0.5, 0.99])
def test_the_moving_average_is_the_recursion(decay: float) -> None:
    checkpoints = some_checkpoints()
    expected, *later = stack(checkpoints)
    for weight in later:
        expected = decay * expected + (1 - decay) * weight
    average = Average(checkpoints, ema_weights(4, decay))
    torch.testing.assert_close(average.read("w"), expected.float(), rtol=1e-7, atol=1e-8)
    assert math.isclose(sum(ema_weights(4, decay)), 1)


def test_a_mean_of_one_is_itself() -> None:
    (alone,) = some_checkpoints(1)
    average = Average([alone], ema_weights(1, 0.9))
    assert torch.equal(average.read("w"), alone.read("w"))
    assert average.tensors == alone.tensors
    assert average.weights_sha256 == alone.weights_sha256


def test_a_mean_of_half_precision_is_not_rounded_to_it() -> None:
    ones = [from_state_dict({"w": torch.full((1,), 1 + k / 128).bfloat16()}) for k in (0, 1)]
    average = Average(ones, mean_weights(2))
    assert average.tensors[0].dtype is torch.float32
    assert average.read("w").item() == 1 + 1 / 256


def test_integers_are_those_of_the_last() -> None:
    assert Average(some_checkpoints(), mean_weights(4)).read("step").item() == 3


def test_the_hash_tells_what_was_averaged_and_how() -> None:
    checkpoints = some_checkpoints(3)
    averages = [
        Average(checkpoints, mean_weights(3)),
        Average(checkpoints, ema_weights(3, 0.5)),
        Average(checkpoints[::-1], ema_weights(3, 0.5)),
    ]
    assert len({average.sha256 for average in averages}) == 3
    assert averages[0].sha256 == Average(checkpoints, mean_weights(3)).sha256


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"w": torch.zeros(3, 5)}, "checkpoint 1 of 2 lacks 'step'"),
        ({"w": torch.zeros(3, 4), "step": torch.tensor(0)}, r"has 'w' \[3, 4\] float32, unlike"),
        ({"w": torch.zeros(3, 5), "step": torch.tensor(0), "x": torch.zeros(1)}, "has 'x'"),
        ({"w": torch.zeros(3, 5).double(), "step": torch.tensor(0)}, "float64"),
    ],
)
def test_checkpoints_of_different_models_are_refused(
    other: dict[str, Tensor], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        Average([from_state_dict(other), *some_checkpoints(1)], mean_weights(2))


def test_different_ties_are_refused() -> None:
    shared = torch.ones(2, 2)
    tied = from_state_dict({"wte.weight": shared, "lm_head.weight": shared})
    untied = from_state_dict({"wte.weight": shared, "lm_head.weight": torch.zeros(2, 2)})
    with pytest.raises(CheckpointError, match="average like with like"):
        Average([tied, untied], mean_weights(2))


@pytest.mark.parametrize("decay", [-1.0, 0.0, 1.0, math.nan])
def test_a_decay_lies_between_0_and_1(decay: float) -> None:
    with pytest.raises(UsageError, match="decay must be between 0 and 1"):
        ema_weights(2, decay)


def test_closing_the_average_closes_its_sources() -> None:
    checkpoints = some_checkpoints(2)
    with Average(checkpoints, mean_weights(2)) as average:
        average.release()
    for closed in (average, *checkpoints):
        with pytest.raises(UsageError, match="closed"):
            closed.read("w")
