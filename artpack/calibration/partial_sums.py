"""Sums of a calibration on the way, kept in a run folder."""

import json
import time
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from artpack.calibration.moments import PRODUCTS, Moments
from artpack.stages import Config
from artpack.system.ranks import Ranks
from artpack.system.run_folder import RunFolder

MAX_DIRECTORY_BYTES = 1 << 26

Entry = tuple[str, str, list[int]]
"""Kind, name and shape of a sum."""


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
            self._keep(Moments(), 0)

    def keep(self) -> None:
        """Keep the sums over all shares."""
        self._keep(Moments(), 0)

    def _keep(self, part: Moments, following: int) -> None:
        if self._run is None:
            return
        seconds = time.monotonic() - self._kept_at
        about: Config = {"shares": self.shares, "next": following}
        both = (self.total, part)
        self._run.keep(self._name, self._inputs, lambda: _content(about, both), seconds=seconds)
        self._kept_at = time.monotonic()

    def _restore(self, file: Path, device: str) -> None:
        """Take over what a file holds, unless it cannot be these sums."""
        try:
            with file.open("rb") as opened:
                about = json.loads(opened.readline(MAX_DIRECTORY_BYTES))
                shares, following, sums = about["shares"], about["next"], about["sums"]
                size = file.stat().st_size - opened.tell()
                if self._fits(shares, following, sums, size):
                    both = [_read(opened, count, own, device) for count, own in sums]
                    self.total, self.shares = both[0], shares
                    if following:
                        self.part, self.following = both[1], following
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return

    def _fits(self, shares: Any, following: Any, sums: Any, size: int) -> bool:
        positions = [one[0] for one in sums]
        if any(type(one) is not int or one < 0 for one in (shares, following, *positions)):
            return False
        entries = [entry for _, entries in sums for entry in entries]
        expected = sum(prod(shape) * _dtype(kind).itemsize for kind, _, shape in entries)
        known = all(self._shape(kind, name) == shape for kind, name, shape in entries)
        return len(sums) == 2 and known and size == expected

    def _shape(self, kind: str, name: str) -> list[int] | None:
        """Return the shape of a kind of sum of a tensor."""
        place = self._places.get(name)
        if place is None or place.ndim < 1:
            return None
        rows, cols = len(place), place.numel() // max(1, len(place))
        return {
            "hessians": [cols, cols],
            "rows": [rows],
            "lookups": [rows],
            "output_covariances": [rows, rows],
            "visits": [],
        }.get(kind)


def _dtype(kind: str) -> np.dtype[Any]:
    return np.dtype("<f4" if kind in PRODUCTS else "<f8")


def _entries(moments: Moments) -> list[Entry]:
    return [
        (kind, name, list(shape))
        for kind, shapes in moments.shapes().items()
        for name, shape in shapes.items()
    ]


def _content(about: Config, both: tuple[Moments, Moments]) -> Iterator[bytes]:
    """Give a directory in one line, and then the sums in its order."""
    sums = [(int(moments.positions), _entries(moments)) for moments in both]
    yield json.dumps(about | {"sums": sums}).encode() + b"\n"
    for moments, (_, entries) in zip(both, sums, strict=True):
        for kind, name, _ in entries:
            total: Tensor = getattr(moments, kind)[name]
            yield total.cpu().contiguous().numpy().astype(_dtype(kind), copy=False).tobytes()


def _read(file: IO[bytes], positions: int, entries: list[Entry], device: str) -> Moments:
    moments = Moments()
    moments.positions += positions
    for kind, name, shape in entries:
        values = np.fromfile(file, _dtype(kind), prod(shape)).reshape(shape)
        getattr(moments, kind)[name] = torch.from_numpy(values).to(device)
    return moments
