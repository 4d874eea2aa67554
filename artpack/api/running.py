"""A model that is ready to be calibrated, and its calibration."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from artpack.api.runnable import Runnable, tensors_of
from artpack.api.sources import Opened
from artpack.calibration.collect import calibrate
from artpack.calibration.file import Calibration
from artpack.calibration.moments import moments_bytes
from artpack.calibration.passes import MAX_BYTES, plan_passes, run_passes
from artpack.calibration.usage import Usage, discover
from artpack.checkpoint import Checkpoint, from_state_dict
from artpack.runners.batches import Batches, all_outputs
from artpack.runners.losses import LossName, OutputLoss, make_loss
from artpack.runners.places import Places, find_places
from artpack.runners.protocol import Runner
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress
from artpack.system.run_folder import RunFolder
from artpack.system.workers import Jobs, Once, Threads, Workers, workers_for


@dataclass(frozen=True, eq=False)
class Running:
    """
    A model that is ready to be calibrated.

    Attributes:
        opened: Its weights, every matrix of them as it is multiplied with.
        runner: The model.
        batches: What it runs over.
        places: Where its stored tensors are.
        runnable: How it was built.
        notes: What was decided on the way, one line each.
    """

    opened: Opened
    runner: Runner
    batches: Batches
    places: Places
    runnable: Runnable
    notes: tuple[str, ...]

    @property
    def transposed(self) -> tuple[str, ...]:
        """Matrices and stacks of the checkpoint that are stored transposed."""
        return tuple(bank.name for bank in self.opened.checkpoint.banks if bank.transposed)


def start(
    opened: Opened,
    runnable: Runnable,
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
        runnable: How it was built.
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
    return Running(opened, runner, batches, places, runnable, notes)


def collect(
    running: Running,
    *,
    fisher: bool = True,
    seed: int = 0,
    settings: Settings,
    jobs: Jobs = None,
    run_folder: RunFolder | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """
    Collect a calibration.

    Args:
        running: The model.
        fisher: Collect gradients too.
        seed: Of everything that is drawn.
        settings: Device and precision.
        jobs: Threads, which take one share after another; or other workers.
        run_folder: Keeps what was found on the way.
        progress: Told how far it is.

    Returns:
        The calibration.

    """
    checkpoint = running.opened.checkpoint
    passes, workers = plan_passes(running.places, MAX_BYTES), workers_for(jobs)
    lend = None if isinstance(workers, Threads) else _lent(running, workers, settings.device)
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
            workers=workers,
            lend=lend,
            run=run_folder,
            progress=told,
        )

    return run_passes(passes, run)


def _lent(running: Running, workers: Workers, device: str) -> Once[tuple[Runner, Places]]:
    """Return what builds the model in another process: of its files, or of what is sent."""
    checkpoint = running.opened.checkpoint
    if not workers.sees(checkpoint.files):
        checkpoint = from_state_dict(tensors_of(checkpoint)).oriented(running.transposed)
    model = Model(running.runnable, checkpoint, running.runner.loss, device)
    return Once(model.build)


@dataclass(frozen=True, eq=False)
class Model:
    """
    What a model is built of.

    Attributes:
        runnable: How.
        checkpoint: Its weights, every matrix of them as it is multiplied with.
        loss: What a change of its outputs costs.
        device: Where it goes.
    """

    runnable: Runnable
    checkpoint: Checkpoint
    loss: OutputLoss
    device: str

    def build(self) -> tuple[Runner, Places]:
        """Return the model, and the places of its stored tensors."""
        runner = self.runnable.build(self.checkpoint, self.device)
        runner.loss = self.loss
        return runner, find_places(runner.module, self.checkpoint)


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
    sums = 2 * max(sum(sizes.get(name, 0) for name in part) for part in passes)
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
