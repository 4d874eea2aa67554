"""Opens one checkpoint, or several as their average."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from artpack.checkpoint import Average, Checkpoint, ema_weights, mean_weights, open_checkpoint
from artpack.errors import UsageError
from artpack.stages import Config


@contextmanager
def open_average(
    paths: Sequence[Path],
    *,
    key: str | None,
    strip_prefix: str | None,
    average: str | None,
    decay: float | None,
) -> Iterator[tuple[Checkpoint, Config]]:
    """Open checkpoints; yield their average, and what an artifact says about it."""
    _check_usage(len(paths), average, decay)
    with ExitStack() as stack:
        opened = [
            stack.enter_context(open_checkpoint(path, key=key, strip_prefix=strip_prefix))
            for path in paths
        ]
        if average is None:
            yield opened[0], {}
            return
        count = len(opened)
        weights = mean_weights(count) if decay is None else ema_weights(count, decay)
        sources: list[Config] = [{"sha256": one.sha256} for one in opened]
        yield (
            stack.enter_context(Average(opened, weights)),
            {"average": {"kind": average, "decay": decay, "sources": list(sources)}},
        )


def _check_usage(count: int, average: str | None, decay: float | None) -> None:
    if average is None and count > 1:
        raise UsageError(f"{count} checkpoints: say with --average how to make one of them")
    if (average == "ema") != (decay is not None):
        raise UsageError("--average ema and --decay go together")
