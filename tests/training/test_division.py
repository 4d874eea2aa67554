"""A run to a budget reads as many tokens as the whole run would have."""

from dataclasses import replace

import pytest

from artpack.errors import UsageError
from artpack.models import preset
from artpack.runners.batches import LEARNED_TOKENS
from artpack.training.division import divide
from artpack.training.recipe import load_training

CONFIG = preset("lm6m")


def test_both_parts_together_are_the_run() -> None:
    training = load_training("plain", steps=400)
    division = divide(training, CONFIG)
    assert division.steps == 380
    learned = division.batches * LEARNED_TOKENS
    assert 380 * training.batches.tokens + learned == 400 * training.batches.tokens


@pytest.mark.parametrize(
    ("recipe", "overrides", "fault"),
    [
        (
            "plain",
            ("schedule.steps=14",),
            "2 steps of 8,192 tokens at least: 14 steps are too few, 40",
        ),
        ("plain", ("schedule.steps=1", "batches.tokens=65536"), "1 steps are too few, 20 are"),
        ("plain", ("schedule.seconds=60",), "leave the recipe's `schedule.seconds` out"),
        ("pr576", (), "trains on another grid"),
    ],
)
def test_a_run_that_cannot_be_divided(recipe: str, overrides: tuple[str, ...], fault: str) -> None:
    training = load_training(recipe, overrides)
    if recipe != "plain":
        training = replace(training, schedule=replace(training.schedule, seconds=None))
    with pytest.raises(UsageError, match=fault):
        divide(training, CONFIG)


def test_what_is_said_to_be_enough_is_enough() -> None:
    training = load_training("plain", ("batches.tokens=512", "batches.micro_tokens=512"), steps=10)
    with pytest.raises(UsageError, match="640 are enough"):
        divide(training, CONFIG)
    assert divide(training.scaled(640), CONFIG).batches == 4
