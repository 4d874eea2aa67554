"""A model that is ready to be calibrated, and its calibration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from artpack.api.sources import Opened
from artpack.calibration.collect import calibrate
from artpack.calibration.file import Calibration
from artpack.calibration.moments import moments_bytes
from artpack.calibration.passes import MAX_BYTES, plan_passes, run_passes
from artpack.calibration.usage import Usage, discover
from artpack.checkpoint import Checkpoint
from artpack.runners.batches import Batches, all_outputs
from artpack.runners.losses import LossName, make_loss
from artpack.runners.places import Places, find_places
from artpack.runners.protocol import Runner
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress


@dataclass(frozen=True, eq=False)
class Running:
    """
    A model that is ready to be calibrated.

    Attributes:
        opened: Its weights, every matrix of them as it is multiplied with.
        runner: The model.
        batches: What it runs over.
        places: Where its stored tensors are.
        notes: What was decided on the way, one line each.
    """

    opened: Opened
    runner: Runner
    batches: Batches
    places: Places
    notes: tuple[str, ...]

    @property
    def transposed(self) -> tuple[str, ...]:
        """Matrices and stacks of the checkpoint that are stored transposed."""
        return tuple(bank.name for bank in self.opened.checkpoint.banks if bank.transposed)


def start(
    opened: Opened,
    runner: Runner,
    batches: Batches,
    *,
    loss: LossName | None = None,
    device: str = "cpu",
    notes: tuple[str, ...] = (),
) -> Running:
    """
    See on a first batch what a model does with its tensors, and choose its loss.

    Args:
        opened: Its weights.
        runner: The model.
        batches: What it runs over.
        loss: What a change of its outputs costs; None for what fits it.
        device: Where it is.
        notes: What was decided before.

    Returns:
        The model, ready to be calibrated.

    Raises:
        UsageError: There is no such loss, or it has no use here.

    """
    asked = loss or runner.default_loss
    runner.loss = make_loss(asked, lambda: all_outputs(runner, batches, device))
    places = find_places(runner.module, opened.checkpoint)
    usage = discover(places, lambda: runner.states(batches.load(0, device)))
    if turned := _turned(usage, opened.checkpoint):
        opened = replace(opened, checkpoint=opened.checkpoint.oriented(turned))
        places = find_places(runner.module, opened.checkpoint)
    return Running(opened, runner, batches, places, notes)


def collect(
    running: Running,
    *,
    fisher: bool = True,
    seed: int = 0,
    settings: Settings,
    progress: Progress | None = None,
) -> Calibration:
    """
    Collect a calibration.

    Args:
        running: The model.
        fisher: Collect gradients too.
        seed: Of everything that is drawn.
        settings: Device and precision.
        progress: Told how far it is.

    Returns:
        The calibration.

    """
    checkpoint = running.opened.checkpoint
    passes = plan_passes(running.places, MAX_BYTES)
    if progress is not None:
        progress("calibrating", 0, len(running.batches), memory_note(running, passes))

    def run(places: Places, name: str) -> Calibration:
        def told(phase: str, done: int, total: int, note: str = "") -> None:
            if progress is not None:
                progress(phase, done, total, f"{name} {note}".strip())

        return calibrate(
            running.runner,
            running.batches,
            places,
            weights_sha256=checkpoint.weights_sha256,
            transposed=running.transposed,
            fisher=fisher,
            seed=seed,
            settings=settings,
            progress=told,
        )

    return run_passes(passes, run)


def memory_note(running: Running, passes: Sequence[Places]) -> str:
    """
    Estimate what a calibration takes.

    Args:
        running: The model.
        passes: What is collected at a time.

    Returns:
        One line: memory of weights and sums, and how often the model runs over the data.

    """
    sizes = moments_bytes(running.places)
    weights = sum(p.numel() * p.element_size() for p in running.runner.module.parameters())
    sums = max(sum(sizes.get(name, 0) for name in part) for part in passes)
    times = "once" if len(passes) == 1 else f"{len(passes)} times"
    return (
        f"memory: {weights / 1e9:.2f} GB of weights, {sums / 1e9:.2f} GB of sums, and what a"
        f" batch keeps; the model runs over the data {times}"
    )


def _turned(usage: Usage, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Return the matrices, and the stacks as a whole, that are multiplied from the other side."""
    stacks = {member for bank in checkpoint.banks for member in bank.members}
    whole = {
        bank.name
        for bank in checkpoint.banks
        if not usage.transposed.isdisjoint(bank.members) and usage.matrices.isdisjoint(bank.members)
    }
    return tuple(sorted(whole | (usage.transposed - stacks)))
