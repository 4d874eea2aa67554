"""
The collection of a calibration: a model runs over batches, and moments are summed up.

Batches are cut into shares. Each is summed up by itself, wherever that is, and their sums are
added in order, so that the same numbers come out in whatever order they arrive.

In torch's process groups batches are dealt to ranks and the sums are added up over ranks, so
every rank ends with the same calibration. Random numbers belong to positions of the tokens, not
to batches or ranks: neither changes the labels that are drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.distributed
from torch import Tensor

from artpack.calibration.file import Calibration
from artpack.calibration.libraries import library_versions
from artpack.calibration.moments import Moments
from artpack.calibration.partial_sums import PartialSums
from artpack.runners.batches import Batches, Draws
from artpack.runners.frozen import frozen, go_back
from artpack.runners.losses import draw_loss
from artpack.runners.places import Places
from artpack.runners.protocol import Runner
from artpack.runners.settings import Settings
from artpack.stages import Config
from artpack.stages.progress import Progress, counter
from artpack.system.ranks import Ranks
from artpack.system.run_folder import RunFolder
from artpack.system.workers import Threads, Workers
from artpack.version import __version__

CALIBRATION = Settings(batch_tokens=2048)
"""Few tokens at once: with output_covariances, lm6m keeps 200 KB of activations a token."""


SHARES = 16
"""Shares at most: each gives sums as large as those of all."""

Lend: TypeAlias = Callable[[], tuple[Runner, Places]]
"""Gives a model and the places of its stored tensors."""


def collect(
    runner: Runner,
    batches: Batches,
    places: Places,
    *,
    fisher: bool = True,
    seed: int = 0,
    settings: Settings = CALIBRATION,
    workers: Workers | None = None,
    lend: Lend | None = None,
    kept: PartialSums | None = None,
    progress: Progress | None = None,
) -> Moments:
    """
    Run a model over batches and sum up its moments over all ranks.

    With ``fisher``, the loss of every output is drawn once, see
    :meth:`~artpack.runners.losses.OutputLoss.sample`, and goes back through the model. That
    is one sample of the true Fisher information, not the empirical one of the data's labels.

    Args:
        runner: Its model is on ``settings.device`` and in evaluation mode.
        batches: What to run; each starts anew.
        places: Where its stored tensors are.
        fisher: Collect gradients too.
        seed: Of the draws.
        settings: Device and precision.
        workers: Who runs shares of the batches; None for this thread.
        lend: Gives the same model and places in another process; needed for workers there.
        kept: Knows the sums of an earlier run, and keeps those of this one.
        progress: Told after every share.

    Returns:
        Sums over all batches, the same in every rank.

    Raises:
        UsageError: Gradients do not reach the outputs.

    """
    ranks, kept = Ranks.current(), kept or PartialSums(None, {}, places, settings.device)
    shares = _shares(range(ranks.rank, len(batches), ranks.world))
    lent = lend or (lambda: (runner, places))
    saw = kept.saw if lend is None else None
    one = Pass(lent, batches, tuple(places), fisher=fisher, seed=seed, settings=settings, saw=saw)
    advance = counter("calibrating", len(batches), progress)
    told = [min(ranks.world * len(each), len(batches)) for each in shares]
    first = kept.shares
    advance(sum(told[:first]))
    one_at_a_time = (workers or Threads()).one_at_a_time()
    shared = one_at_a_time.share(one)
    tasks: list[tuple[Any, ...]] = [(shared, each) for each in shares[first:]]
    if tasks and kept.part is not None:
        left = [index for index in shares[first] if index >= kept.following]
        tasks[0] = (shared, left, kept.part)
    for part in one_at_a_time.map(Pass.sums, tasks, lambda number: advance(told[first + number])):
        kept.add(part)
    if tasks:
        kept.keep()
    moments = kept.total
    if ranks.world > 1:
        _add_over_ranks(moments, settings.device, ranks.world)
    return moments


def _shares(indices: range) -> list[range]:
    """Cut batches into at most ``SHARES`` runs, the same whoever works on them."""
    size = max(1, -(-len(indices) // SHARES))
    return [indices[low : low + size] for low in range(0, len(indices), size)]


@dataclass(frozen=True, eq=False)
class Pass:
    """
    What is collected of every batch.

    Attributes:
        lend: Gives the model and the places of its stored tensors.
        batches: What to run.
        names: Stored tensors whose moments are summed up.
        fisher: Collect gradients too.
        seed: Of the draws.
        settings: Device and precision.
        saw: Told after each batch of the sums so far, and of the batch that comes next; None
            in another process.
    """

    lend: Lend
    batches: Batches
    names: tuple[str, ...]
    fisher: bool
    seed: int
    settings: Settings
    saw: Callable[[Moments, int], None] | None = None

    def sums(self, indices: Sequence[int], begun: Moments | None = None) -> Moments:
        """Return the sums over some of the batches, added to what was begun with."""
        runner, places = self.lend()
        moments, settings = begun or Moments(), self.settings
        with frozen(runner.module), moments.watch({name: places[name] for name in self.names}):
            for index in indices:
                batch = self.batches.load(index, settings.device)
                draws = self.batches.draws(index, self.seed) if self.fisher else None
                moments.positions += _run(runner, batch, draws, settings, moments)
                if self.saw is not None:
                    self.saw(moments, index + 1)
        return moments


def _add_over_ranks(moments: Moments, device: str, world: int) -> None:
    # An expert that no token of this rank reached may have been reached elsewhere.
    known: list[Any] = [None] * world
    torch.distributed.all_gather_object(known, moments.shapes())
    for shapes in known:
        moments.fill(shapes, device)
    positions = moments.positions.to(device)
    for total in (positions, *moments.tensors()):
        torch.distributed.all_reduce(total)
    moments.positions = positions.cpu()


def _run(
    runner: Runner, batch: Any, draws: Draws | None, settings: Settings, moments: Moments
) -> int:
    """Run a batch, and if there are draws, go back from what they choose; return its rows."""
    autocast = torch.autocast(
        torch.device(settings.device).type, torch.bfloat16, enabled=settings.precision == "bf16"
    )
    with autocast, torch.set_grad_enabled(draws is not None):
        outputs = runner.outputs(runner.states(batch))
    if draws is not None:
        drawn = draw_loss(runner.loss, outputs, draws)
        see = partial(moments.see_outputs, outputs=outputs.detach(), squares=runner.loss.squares)
        outputs.register_hook(see)  # type: ignore[no-untyped-call]
        go_back(drawn)
    return len(outputs)


def calibrate(
    runner: Runner,
    batches: Batches,
    places: Places,
    *,
    weights_sha256: str,
    transposed: Sequence[str] = (),
    fisher: bool = True,
    seed: int = 0,
    settings: Settings = CALIBRATION,
    workers: Workers | None = None,
    lend: Lend | None = None,
    run: RunFolder | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """
    Collect a model's calibration.

    Args:
        runner: Its model is on ``settings.device`` and in evaluation mode.
        batches: What to run.
        places: Where its stored tensors are.
        weights_sha256: Hash of these, as ``Checkpoint.weights_sha256`` has it.
        transposed: Which of the checkpoint's matrices are stored transposed.
        fisher: Collect gradients too.
        seed: Of the draws that gradients are taken for.
        settings: Device and precision.
        workers: Who runs shares of the batches; None for this thread.
        lend: Gives the same model and places in another process; needed for workers there.
        run: Keeps sums on the way; None for nowhere.
        progress: Told after every share.

    Returns:
        The calibration, the same in every rank.

    """
    fingerprint: Config = {
        "artpack": __version__,
        "libraries": library_versions("torch", type(runner.module).__module__),
        "weights_sha256": weights_sha256,
        "model_sha256": runner.fingerprint,
        "tokens_sha256": batches.sha256,
        "transposed": list(transposed),
        "settings": {
            "fisher": fisher,
            "seed": seed if fisher else None,
            "precision": settings.precision,
            "loss": runner.loss.unit,
            **batches.facts,
        },
    }
    inputs = fingerprint | _surroundings(runner, batches, places, settings)
    moments = collect(
        runner,
        batches,
        places,
        fisher=fisher,
        seed=seed,
        settings=settings,
        workers=workers,
        lend=lend,
        kept=PartialSums(run, inputs, places, settings.device),
        progress=progress,
    )
    tokens = int(moments.positions)
    return Calibration(
        hessians=_reached(moments.mean_hessians()),
        row_information=_reached(moments.mean_rows(tokens)),
        lookup_information=_reached(moments.mean_lookups(tokens)),
        output_covariances=_reached(moments.mean_output_covariances(tokens)),
        tokens=tokens,
        fingerprint=fingerprint,
    )


def _surroundings(runner: Runner, batches: Batches, places: Places, settings: Settings) -> Config:
    """Return what else has a say in sums on the way, by name."""
    return {
        "places": list(places),
        "batches": len(batches),
        "how": asdict(settings),
        "loss": type(runner.loss).__qualname__,
        "torch": torch.__version__,
        "ranks": Ranks.current().world,
    }


def _reached(means: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what no token reached: nothing is known of it."""
    return {name: mean for name, mean in means.items() if mean.any()}
