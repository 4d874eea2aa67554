"""Averages against their closed forms."""

import pytest
import torch

from artpack.training.averaging import Ema, Hma, Swa, WeightAverage

STEPS = 40


def weights(step: int) -> dict[str, torch.Tensor]:
    """Return weights that are not linear in the step; step 0 is before the first one."""
    return {"w": torch.tensor([float(step), float(step**2) / 10])}


def run(average: WeightAverage, factor: float = 0.1) -> torch.Tensor:
    for step in range(STEPS):
        average.update(weights(step + 1), step=step, factor=factor)
    found = average.weights()
    assert found is not None
    return found["w"].double()


def closed_ema(decay: float, values: list[torch.Tensor]) -> torch.Tensor:
    """Weigh each value by how often it was kept."""
    *later, first = reversed(values)
    terms = [(1 - decay) * decay**age * value for age, value in enumerate(later)]
    return decay ** len(later) * first + sum(terms, torch.zeros(2, dtype=torch.float64))


def history() -> list[torch.Tensor]:
    return [weights(step)["w"].double() for step in range(STEPS + 1)]


def test_ema_weighs_by_powers_of_the_decay() -> None:
    found = run(Ema(weights(0), 0.9))
    torch.testing.assert_close(found, closed_ema(0.9, history()), rtol=1e-5, atol=1e-5)


def test_warm_ema_is_the_plain_mean_at_first() -> None:
    """With a warm-up of one step the weight of step n is 1/(n+1): the mean of all, initial too."""
    found = run(Ema(weights(0), 1.0, warmup_steps=1))
    torch.testing.assert_close(found, torch.stack(history()).mean(0), rtol=1e-5, atol=1e-5)


def test_swa_is_the_mean_of_its_snapshots() -> None:
    found = run(Swa(8, 0.2))
    taken = torch.stack([history()[step] for step in range(8, STEPS + 1, 8)])
    torch.testing.assert_close(found, taken.mean(0), rtol=1e-5, atol=1e-5)


def test_swa_waits_until_the_rate_is_low() -> None:
    average = Swa(1, 0.2)
    average.update(weights(1), step=0, factor=0.2)
    assert average.weights() is None


def test_hma_smooths_twice_the_fast_less_the_slow() -> None:
    average = Hma(weights(0), 0.997)
    assert average.fast == pytest.approx(0.994)
    assert average.smooth == pytest.approx(0.945228, abs=1e-6)  # as PR 1123 has it
    found = run(average)
    ahead = [history()[0]]
    for step in range(1, STEPS + 1):
        past = history()[: step + 1]
        ahead.append(2 * closed_ema(0.994, past) - closed_ema(0.997, past))
    expected = closed_ema(1 - 0.003**0.5, ahead)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [lambda: Ema(weights(0), 0.9), lambda: Swa(4, 0.2)])
def test_goes_on_from_its_state(make: "type[Ema]") -> None:
    straight, before, after = (make() for _ in range(3))  # type: ignore[call-arg]
    for step in range(STEPS):
        straight.update(weights(step), step=step, factor=0.1)
        (before if step < 10 else after).update(weights(step), step=step, factor=0.1)
        if step == 9:
            after.load_state_dict(before.state_dict())
    assert straight.weights()["w"].equal(after.weights()["w"])
