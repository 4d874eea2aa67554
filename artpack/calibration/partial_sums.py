"""Sums of a calibration on the way, kept in a run folder."""

import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from artpack.calibration.moments import PRODUCTS, Moments
from artpack.stages import Config
from artpack.system.ranks import Ranks
from artpack.system.run_folder import RunFolder
from artpack.system.tensor_record import read_tensor_record, tensor_record


class PartialSums:
    """
    Sums over the shares that are done, and over those batches that are of one under way.

    Args:
        run: Where they are kept; None for nowhere.
        inputs: All that they follow from, but for how many batches were run.
        places: The tensors that they are of.
        device: Where sums are.

    Attributes:
        total: Over the shares that are done.
        shares: How many these are.
        part: Over the batches of the next one that were run before; None if there were none.
        following: The batch that comes then.
    """

    def __init__(
        self, run: RunFolder | None, inputs: Config, places: Mapping[str, Tensor], device: str
    ) -> None:
        self._run, self._inputs, self._places = run, inputs, places
        self._name, self._kept_at = f"sums-{Ranks.current().rank}", time.monotonic()
        self.total, self.shares, self.following = Moments(), 0, 0
        self.part: Moments | None = None
        file = None if run is None else run.find(self._name, inputs)
        if file is not None:
            self._restore(file, device)

    def saw(self, part: Moments, following: int) -> None:
        """Be told of the sums over a share under way, and of the batch that comes next."""
        if self._run is not None and self._run.is_due():
            self._keep(part, following)

    def add(self, part: Moments) -> None:
        """Add the sums over a share that is done, which are used up."""
        self.total.add(part)
        self.shares, self.part = self.shares + 1, None
        if self._run is not None and self._run.is_due():
            self.keep()

    def keep(self) -> None:
        """Keep the sums over the shares that are done."""
        self._keep(Moments(), 0)

    def _keep(self, part: Moments, following: int) -> None:
        if self._run is None:
            return
        about = {
            "shares": self.shares,
            "next": following,
            "total": int(self.total.positions),
            "part": int(part.positions),
        }
        sums = _named("total", self.total) | _named("part", part)
        seconds = time.monotonic() - self._kept_at
        content = lambda: tensor_record(about, sums)  # noqa: E731 - asked for twice
        self._run.keep(self._name, self._inputs, content, seconds=seconds)
        self._kept_at = time.monotonic()

    def _restore(self, file: Path, device: str) -> None:
        """Take over what a file holds, unless it cannot be these sums."""
        found = read_tensor_record(file)
        if found is None or found[0].keys() != {"shares", "next", "total", "part"}:
            return
        about, sums = found
        if not all(self._fits(name, total) for name, total in sums.items()):
            return
        both = {"total": Moments(), "part": Moments()}
        for which, moments in both.items():
            moments.positions += about[which]
        for name, total in sums.items():
            which, kind, tensor = name.split("/", 2)
            getattr(both[which], kind)[tensor] = total.to(device)
        self.total, self.shares = both["total"], about["shares"]
        if about["next"]:
            self.part, self.following = both["part"], about["next"]

    def _fits(self, name: str, total: Tensor) -> bool:
        """Say whether a tensor may have such a sum."""
        which, _, rest = name.partition("/")
        kind, _, tensor = rest.partition("/")
        place = self._places.get(tensor)
        if which not in {"total", "part"} or place is None or not place.ndim:
            return False
        rows, cols = len(place), place.numel() // max(1, len(place))
        shapes: dict[str, tuple[int, ...]] = {
            "hessians": (cols, cols),
            "rows": (rows,),
            "lookups": (rows,),
            "output_covariances": (rows, rows),
            "visits": (),
        }
        dtype = torch.float32 if kind in PRODUCTS else torch.float64
        return total.shape == shapes.get(kind) and total.dtype == dtype


def _named(which: str, moments: Moments) -> dict[str, Tensor]:
    return {
        f"{which}/{kind}/{name}": getattr(moments, kind)[name]
        for kind, shapes in moments.shapes().items()
        for name in shapes
    }
