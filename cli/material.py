"""What ``artpack compress`` and ``sweep`` pack: checkpoints, and what is known of the data."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from artpack.calibration.collect import Windows
from artpack.calibration.file import Calibration
from artpack.checkpoint import Checkpoint
from artpack.checkpoint.selection import Selection, select
from artpack.models import ModelConfig
from artpack.models.find import Found, find_model, read_model
from artpack.stages import Config

from .averaging import open_average
from .calibration import Run, obtain
from .options.shared import (
    EXISTING,
    choose_device,
    device_option,
    key_option,
    model_option,
    strip_option,
)

R = TypeVar("R")


@dataclass(frozen=True)
class Asked:
    """
    What is to be packed, as the command line says it.

    Attributes:
        checkpoints: One, or several to be averaged.
        key: Where in them the weights are.
        strip_prefix: What to take off their names.
        average: ``mean`` or ``ema``; None for one checkpoint.
        decay: Of ``ema``.
        include: Regular expression that names must match.
        exclude: One that they must not match.
        model: Preset or config file; None to find it.
        calibration_file: What ``artpack calibrate`` wrote, or where to keep such a file.
        tokens: What to calibrate with.
        device: Where the model runs.
        jobs: Threads.
    """

    checkpoints: tuple[Path, ...]
    key: str | None
    strip_prefix: str | None
    average: str | None
    decay: float | None
    include: str
    exclude: str | None
    model: str | None
    calibration_file: Path | None
    tokens: str | None
    device: str | None
    jobs: int

    @property
    def has_data(self) -> bool:
        """Whether anything will be known of the data."""
        return self.calibration_file is not None or self.tokens is not None


@dataclass(frozen=True, eq=False)
class Material:
    """
    The same, opened and read.

    Attributes:
        source: The checkpoint, or the average.
        path: File of the last checkpoint.
        selection: Which of its tensors.
        config: Its model, if it is known.
        calibration: What is known of the data; None if nothing is.
        calibration_file: Where that is kept, if anywhere.
        windows: The tokens it was collected on, if they are at hand.
        run: The model, if there are tokens for it to run over.
        device: Where models run and quantizers compute.
        jobs: Threads.
        origin: What the artifact says about where it comes from.
        notes: What was decided on the way, one line each.
    """

    source: Checkpoint
    path: Path
    selection: Selection
    config: ModelConfig | None
    calibration: Calibration | None
    calibration_file: Path | None
    windows: Windows | None
    run: Run | None
    device: str
    jobs: int
    origin: Config
    notes: tuple[str, ...]


@contextmanager
def open_material(asked: Asked) -> Iterator[Material]:
    """Open checkpoints, find their model, and read or collect a calibration."""
    path, device = asked.checkpoints[-1], choose_device(asked.device)
    with open_average(
        asked.checkpoints,
        key=asked.key,
        strip_prefix=asked.strip_prefix,
        average=asked.average,
        decay=asked.decay,
    ) as (source, origin):
        selection = select(source, include=asked.include, exclude=asked.exclude)
        found = _find_model(selection, path, asked.model)
        data = obtain(
            asked.calibration_file,
            asked.tokens,
            path=path,
            checkpoint=source,
            config=found.config,
            device=device,
        )
        if data.calibration is not None:
            origin["calibration"] = data.calibration.fingerprint
        yield Material(
            source,
            path,
            selection,
            found.config,
            data.calibration,
            asked.calibration_file,
            data.windows,
            data.run,
            device,
            asked.jobs,
            origin,
            (*source.notes, *found.notes, *data.notes),
        )


def _find_model(selection: Selection, checkpoint: Path, asked: str | None) -> Found:
    if asked is not None:
        return Found(read_model(asked, selection.shapes), ())
    found = find_model(selection.shapes, checkpoint)
    if found.config is not None:
        return found
    return Found(
        None, (*found.notes, "the artifact can be unpacked, but not scored without --model")
    )


def material_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the arguments that say what is packed, as one argument ``asked``."""

    @click.argument("checkpoints", metavar="CHECKPOINT...", type=EXISTING, nargs=-1, required=True)
    @click.option(
        "--calibration",
        "calibration_file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="What 'artpack calibrate' wrote. With --tokens, it is written if there is none yet.",
    )
    @click.option(
        "--tokens",
        metavar="SHARDS",
        help="Calibrate with these tokens, as 'artpack calibrate' does by default.",
    )
    @click.option(
        "--average",
        type=click.Choice(["mean", "ema"]),
        help="Pack the average of several checkpoints: their mean, or a moving average over"
        " them in the order given.",
    )
    @click.option(
        "--decay",
        type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
        help="Of --average ema: what is kept of the average at each further checkpoint.",
    )
    @key_option
    @strip_option
    @model_option
    @device_option
    @click.option(
        "--include", default="", metavar="REGEX", help="Pack only tensors whose name matches."
    )
    @click.option("--exclude", metavar="REGEX", help="Leave out tensors whose name matches.")
    @click.option(
        "--jobs",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Threads; the bytes do not depend on it.",
    )
    @functools.wraps(command)
    def gathered(
        *,
        checkpoints: tuple[Path, ...],
        key: str | None,
        strip_prefix: str | None,
        average: str | None,
        decay: float | None,
        include: str,
        exclude: str | None,
        model: str | None,
        calibration_file: Path | None,
        tokens: str | None,
        device: str | None,
        jobs: int,
        **others: Any,
    ) -> R:
        asked = Asked(
            checkpoints,
            key,
            strip_prefix,
            average,
            decay,
            include,
            exclude,
            model,
            calibration_file,
            tokens,
            device,
            jobs,
        )
        return command(asked=asked, **others)

    return gathered
