"""Learning rates as the seeds' formulas say, by steps and by the clock."""

import pytest

from artpack.training.recipe import load_training
from artpack.training.schedule import factor, progress
from artpack.training.settings import Schedule


def at(recipe: str, step: int) -> float:
    schedule = load_training(recipe).schedule
    return factor(schedule, step=step, done=progress(schedule, step=step, seconds=0))


@pytest.mark.parametrize("step", [0, 199, 200, 5000, 8250, 9000, 9999])
def test_pr1123_rises_for_200_steps_and_falls_in_the_last_1750(step: int) -> None:
    expected = min(1, (step + 1) / 200, (10000 - step) / 1750)
    assert at("pr1123", step) == pytest.approx(expected)


@pytest.mark.parametrize("step", [0, 1245, 3000, 4900, 4979])
def test_pr1934_falls_over_three_quarters_to_a_tenth(step: int) -> None:
    done = step / 4980
    expected = 1.0 if done < 0.25 else max((1 - done) / 0.75, 0.1)
    assert at("pr1934", step) == pytest.approx(expected)


@pytest.mark.parametrize("elapsed", [0.0, 400.0, 479.0, 500.0, 598.0])
def test_pr2086_by_the_clock(elapsed: float) -> None:
    schedule = Schedule(steps=10**9, warmdown_share=0.2, seconds=599.0)
    done = progress(schedule, step=0, seconds=elapsed)
    assert factor(schedule, step=0, done=done) == pytest.approx(min(1, (599 - elapsed) / 119.8))


def test_the_run_ends_when_the_reserve_begins() -> None:
    schedule = Schedule(steps=100, seconds=600.0, reserve_seconds=75.0)
    assert progress(schedule, step=3, seconds=524.0) < 1
    assert progress(schedule, step=3, seconds=525.0) >= 1
    assert progress(schedule, step=100, seconds=0.0) == 1


def test_scaling_keeps_the_shape() -> None:
    whole, small = load_training("pr1123"), load_training("pr1123", steps=500)
    for share in (0.3, 0.9, 0.98):
        assert factor(whole.schedule, step=9999, done=share) == factor(
            small.schedule, step=499, done=share
        )
    assert small.schedule.warmup_steps == 10
    assert small.groups[1].muon is not None
    assert small.groups[1].muon.momentum_steps == 25
    assert small.averages[0].decay == pytest.approx(1 - 0.003 * 20)
    assert small.averages[1].every_steps == 2
