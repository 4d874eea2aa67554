"""Schedules of the learning rate, by steps or by the clock."""

from artpack.training.settings import Schedule


def progress(schedule: Schedule, *, step: int, seconds: float) -> float:
    """
    Say how much of the run is over.

    Args:
        schedule: Its lengths.
        step: Steps done.
        seconds: Time spent training.

    Returns:
        0 to 1: the further of steps and seconds; 1 or more ends the run.

    """
    by_steps = step / schedule.steps
    if schedule.seconds is None:
        return by_steps
    return max(by_steps, seconds / max(schedule.seconds - schedule.reserve_seconds, 1e-9))


def factor(schedule: Schedule, *, step: int, done: float) -> float:
    """
    Return what the learning rates of a step are multiplied by.

    Args:
        schedule: The shape.
        step: Steps done.
        done: How much of the run is over.

    Returns:
        Rises linearly to 1 in the warm-up, falls linearly to the floor in the warmdown.

    >>> schedule = Schedule(steps=100, warmup_steps=4, warmdown_share=0.5, floor=0.1)
    >>> [factor(schedule, step=s, done=s / 100) for s in (0, 3, 50, 75, 99)]
    [0.25, 1.0, 1.0, 0.5, 0.1]

    """
    rise = (step + 1) / schedule.warmup_steps if step < schedule.warmup_steps else 1.0
    fall = (1 - done) / schedule.warmdown_share if schedule.warmdown_share else 1.0
    return min(rise, max(schedule.floor, min(1.0, fall)))


def ramp(start: float, end: float, *, step: int, over_steps: int) -> float:
    """
    Go linearly from one value to another.

    Args:
        start: Value at step 0.
        end: Value from ``over_steps`` on.
        step: Steps done.
        over_steps: Length of the ramp; 0 for none.

    Returns:
        The value.

    >>> [ramp(0.5, 1.0, step=s, over_steps=4) for s in (0, 2, 9)]
    [0.5, 0.75, 1.0]

    """
    share = min(step / over_steps, 1.0) if over_steps else 1.0
    return (1 - share) * start + share * end
