"""
Passes of a calibration: as many tensors at a time as memory allows for their sums.

Sums of a large model do not fit into memory all at once. So the model runs over the batches
several times, for some of its tensors each time, and what a pass found waits in a file.
"""

import shutil
import tempfile
import weakref
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from artpack.calibration.file import KINDS, Calibration, read_calibration, write_calibration
from artpack.calibration.moments import moments_bytes

MAX_BYTES = 2 << 30
"""Of sums at a time, unless told otherwise."""


def plan_passes(places: Mapping[str, Tensor], max_bytes: int) -> list[dict[str, Tensor]]:
    """
    Share tensors out among passes.

    Args:
        places: Stored name to a view of the live tensor.
        max_bytes: Of sums in one pass; a tensor that needs more has a pass of its own.

    Returns:
        The places of each pass, in order; at least one pass.

    >>> import torch
    >>> places = {name: torch.zeros(2, 4) for name in "abc"}
    >>> [list(part) for part in plan_passes(places, 250)]
    [['a', 'b'], ['c']]

    """
    sizes, passes, used = moments_bytes(places), [dict[str, Tensor]()], 0
    for name, place in places.items():
        size = sizes.get(name, 0)
        if passes[-1] and used + size > max_bytes:
            passes.append({})
            used = 0
        passes[-1][name] = place
        used += size
    return passes


def run_passes(
    passes: list[dict[str, Tensor]], run: Callable[[Mapping[str, Tensor], str], Calibration]
) -> Calibration:
    """
    Run one pass after another, and put together what they found.

    Args:
        passes: What :func:`plan_passes` returned.
        run: Calibrates some tensors; told which pass it is, empty for the only one.

    Returns:
        The calibration of all. That of several passes lies in a temporary folder, which
        goes with it.

    """
    if len(passes) == 1:
        return run(passes[0], "")
    folder = _Folder()
    parts = []
    for number, places in enumerate(passes):
        path = folder.path / f"pass-{number}.safetensors"
        write_calibration(path, run(places, f"pass {number + 1} of {len(passes)}"))
        parts.append(read_calibration(path))
    joined: Any = {kind: _Joined(folder, [getattr(one, kind) for one in parts]) for kind in KINDS}
    return replace(parts[0], **joined)


class _Folder:
    """A temporary folder that lasts as long as somebody holds it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="artpack-calibration-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class _Joined(ChainMap[str, Tensor]):
    """Tensors of all passes."""

    def __init__(self, folder: _Folder, maps: list[dict[str, Tensor]]) -> None:
        super().__init__(*maps)
        self._folder = folder
