"""Batches that models run over: windows of tokens, or whatever a module takes."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from artpack.calibration.windows import Windows, cut_windows, hash_tokens
from artpack.errors import UsageError
from artpack.runners.onnx.batches import load_arrays
from artpack.stages import Config

LEARNED_TOKENS = 4096
"""Tokens in a batch that is learned from."""


class Draws(Protocol):
    """Random numbers of one batch, the same whatever was run before it."""

    def uniform(self, count: int) -> Tensor:
        """Return float32 (count,) in [0, 1)."""

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Return Gaussian numbers of variance 1, float32."""


class Batches(Protocol):
    """What a model runs over, one batch at a time."""

    def __len__(self) -> int:
        """Return the number of batches, at least one."""

    def load(self, index: int, device: str) -> Any:
        """Return a batch, its tensors on a device."""

    def draws(self, index: int, seed: int) -> Draws:
        """Return the random numbers of a batch."""

    @property
    def sha256(self) -> str:
        """Hash of all that is run, in hexadecimal."""

    @property
    def facts(self) -> Config:
        """How much is run at a time, by name."""

    def split(self, limit_tokens: int) -> "tuple[Batches, Batches]":
        """
        Set batches aside to measure on.

        Args:
            limit_tokens: No more tokens than this, where tokens are what is run.

        Returns:
            At most half of what there is, spread evenly; and the rest, or all if none is left.

        """

    def shuffled(self, device: str) -> Iterator[Any]:
        """Yield batches in random order without end, all of them before any comes again."""


class TokenBatches:
    """
    Windows of tokens, a few of them a batch.

    Args:
        windows: int64 (windows, tokens).
        batch_tokens: Tokens a batch, as far as whole windows allow.
    """

    def __init__(self, windows: Windows, batch_tokens: int) -> None:
        self.windows = windows
        self._batch_tokens = batch_tokens
        self._rows = max(1, batch_tokens // windows.shape[1])

    def __len__(self) -> int:
        return len(range(0, len(self.windows), self._rows))

    def load(self, index: int, device: str) -> Tensor:
        """Return int64 (B, T)."""
        return torch.from_numpy(self.windows[self._part(index)]).to(device)

    def draws(self, index: int, seed: int) -> Draws:
        """Return numbers that belong to the positions of tokens, whatever the size of batches."""
        uniform = np.random.default_rng(seed).random(self.windows.shape, np.float32)
        return _Positions(uniform[self._part(index)], (seed, index))

    @property
    def sha256(self) -> str:
        """Hash of the ids."""
        return hash_tokens(self.windows)

    @property
    def facts(self) -> Config:
        """Length of a window."""
        return {"window_tokens": self.windows.shape[1]}

    def split(self, limit_tokens: int) -> "tuple[TokenBatches, TokenBatches]":
        """Set windows aside to measure on."""
        count = max(1, min(len(self.windows) // 2, limit_tokens // self.windows.shape[1]))
        spread = np.arange(count) * (len(self.windows) // count)
        rest = np.delete(self.windows, spread, axis=0)
        measured = TokenBatches(self.windows[spread], 2 * self.windows.shape[1])
        return measured, TokenBatches(rest if len(rest) else self.windows, self._batch_tokens)

    def some(self, limit_tokens: int) -> "TokenBatches":
        """Return windows spread evenly, no more tokens than this but at least one window."""
        windows = cut_windows(
            self.windows.ravel(), self.windows.shape[1], limit_tokens=limit_tokens
        )
        return TokenBatches(windows, self._batch_tokens)

    def shuffled(self, device: str) -> Iterator[Tensor]:
        """Yield batches of ``LEARNED_TOKENS``, windows in random order."""
        rows = max(1, LEARNED_TOKENS // self.windows.shape[1])
        for chosen in _permuted(len(self.windows), rows):
            yield torch.from_numpy(self.windows[chosen]).to(device)

    def _part(self, index: int) -> slice:
        return slice(index * self._rows, (index + 1) * self._rows)


class ModuleBatches:
    """
    Batches as a module takes them: a tensor, a sequence of arguments, or named arguments.

    Args:
        batches: One or more; or a tensor or arrays by the names of arguments, samples along
            the first axis, or an ``.npz`` file of such arrays: then each sample is a batch.
            Arrays of numpy become tensors.

    Raises:
        UsageError: There is none, the file cannot be read, or it is nothing of the kind.

    """

    def __init__(self, batches: str | os.PathLike[str] | Iterable[Any]) -> None:
        if isinstance(batches, str | os.PathLike):
            batches = load_arrays(Path(batches))
        if isinstance(batches, Mapping | Tensor | np.ndarray):
            batches = _rows_of(_as_tensors(batches))
        if not isinstance(batches, Iterable):
            raise UsageError(
                f"`batches`: a list of batches is needed, got {type(batches).__name__}"
            )
        self._batches = [_as_tensors(batch) for batch in batches]
        if not self._batches:
            raise UsageError("there are no batches to calibrate with")

    def __len__(self) -> int:
        return len(self._batches)

    def load(self, index: int, device: str) -> Any:
        """Return a copy of a batch."""
        return _moved(self._batches[index], device)

    def draws(self, index: int, seed: int) -> Draws:
        """Return numbers that belong to the place of the batch."""
        return _Seeded((seed, index))

    @property
    def sha256(self) -> str:
        """Hash of all tensors, and of the rest as it prints."""
        whole = hashlib.sha256()
        for batch in self._batches:
            _hash(batch, whole)
        return whole.hexdigest()

    @property
    def facts(self) -> Config:
        """Number of batches."""
        return {"batches": len(self)}

    def split(self, limit_tokens: int) -> "tuple[ModuleBatches, ModuleBatches]":  # noqa: ARG002
        """Set every second batch aside to measure on."""
        if len(self._batches) == 1:
            return self, self
        return ModuleBatches(self._batches[1::2]), ModuleBatches(self._batches[::2])

    def shuffled(self, device: str) -> Iterator[Any]:
        """Yield one batch after another in random order."""
        for (index,) in _permuted(len(self._batches), 1):
            yield self.load(index, device)


class _Seeded:
    def __init__(self, seed: tuple[int, int]) -> None:
        self._seed = seed

    def uniform(self, count: int) -> Tensor:
        return torch.from_numpy(np.random.default_rng(self._seed).random(count, np.float32))

    def normal(self, shape: Sequence[int]) -> Tensor:
        rng = np.random.default_rng(self._seed)
        return torch.from_numpy(rng.standard_normal(tuple(shape), np.float32))


class _Positions(_Seeded):
    def __init__(
        self, uniform: np.ndarray[Any, np.dtype[np.float32]], seed: tuple[int, int]
    ) -> None:
        super().__init__(seed)
        self._uniform = uniform

    def uniform(self, count: int) -> Tensor:
        windows, tokens = self._uniform.shape
        each, rest = divmod(count, windows)  # a classifier has one output a window
        if rest or each > tokens:
            return super().uniform(count)
        return torch.from_numpy(self._uniform[:, :each].ravel())


@torch.no_grad()
def all_outputs(runner: Any, batches: Batches, device: str) -> Tensor:
    """Return the outputs of a runner over all batches, float32 (n, d) on the CPU."""
    loaded = (batches.load(index, device) for index in range(len(batches)))
    return torch.cat([runner.outputs(runner.states(batch)).float().cpu() for batch in loaded])


def _permuted(count: int, rows: int) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
    draw, order = np.random.default_rng(0), np.empty(0, np.int64)
    while True:
        while len(order) < rows:
            order = np.concatenate([order, draw.permutation(count)])
        yield order[:rows]
        order = order[rows:]


def _moved(batch: Any, device: str) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device, copy=True)  # a module may change what it is given
    if isinstance(batch, Mapping):
        return {name: _moved(value, device) for name, value in batch.items()}
    if isinstance(batch, list | tuple):
        return tuple(_moved(value, device) for value in batch)
    return batch


def _as_tensors(batch: Any) -> Any:
    if isinstance(batch, np.ndarray):
        return torch.as_tensor(batch)
    if isinstance(batch, Mapping):
        return {name: _as_tensors(value) for name, value in batch.items()}
    if isinstance(batch, list | tuple):
        return tuple(_as_tensors(value) for value in batch)
    return batch


def _rows_of(batch: Any) -> list[Any]:
    sizes = {len(tensor) if tensor.ndim else 0 for tensor in _tensors_in(batch)}
    if len(sizes) != 1 or 0 in sizes:
        return [batch]
    return [_row(batch, index) for index in range(sizes.pop())]


def _tensors_in(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping | list | tuple):
        for value in batch.values() if isinstance(batch, Mapping) else batch:
            yield from _tensors_in(value)


def _row(batch: Any, index: int) -> Any:
    if isinstance(batch, Tensor):
        return batch[index : index + 1]
    if isinstance(batch, Mapping):
        return {name: _row(value, index) for name, value in batch.items()}
    if isinstance(batch, list | tuple):
        return tuple(_row(value, index) for value in batch)
    return batch


def _hash(batch: Any, whole: "hashlib._Hash") -> None:
    if isinstance(batch, Tensor):
        plain = batch.detach().cpu().contiguous()
        whole.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
        whole.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(batch, Mapping):
        for name, value in batch.items():
            whole.update(str(name).encode())
            _hash(value, whole)
    elif isinstance(batch, list | tuple):
        for value in batch:
            _hash(value, whole)
    else:
        whole.update(repr(batch).encode())
