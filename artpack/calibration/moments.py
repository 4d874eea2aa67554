"""
Second moments of what goes into linear maps, and of the gradients that come back to them.

Both are sums over tokens that hooks collect while a model runs, so memory is that of
the sums. A map that runs several times in a pass (a looped layer, a module under two
names) adds up all its visits. Nothing is summed below float32.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

MAX_ROWS = 4096
"""Outputs up to which all products of gradients are summed, not their squares alone."""

BLOCK = 256
"""Columns of a product at once: only blocks on and above the diagonal are multiplied."""


@dataclass(frozen=True)
class Sites:
    """
    Where a model multiplies with matrices and looks up rows.

    Attributes:
        maps: Stored tensor (rows, cols) and the module that takes (..., cols) to (..., rows).
            A tensor may be listed with several modules: their sums are added.
        tables: Stored tensor (rows, dim) and the module that takes indices (...) to
            (..., dim).
    """

    maps: tuple[tuple[str, nn.Module], ...] = ()
    tables: tuple[tuple[str, nn.Module], ...] = ()


@dataclass(eq=False)
class Moments:
    """
    Sums over tokens, collected by hooks while :meth:`watch` is entered.

    Attributes:
        hessians: Stored tensor to ``sum x x'`` of its inputs, float32 (cols, cols). While
            collecting, only blocks on and above the diagonal are filled.
        rows: Stored tensor to the sum of squared gradients of its outputs, float64
            (rows,), one square for each visit of a map.
        lookups: Stored table to the sum of squared gradients of each row it gave out,
            divided by its width, float64 (rows,).
        output_covariances: Stored tensor of at most ``MAX_ROWS`` rows to ``sum g g'`` of the
            gradients of its outputs, float32 (rows, rows), filled like ``hessians``.
    """

    hessians: dict[str, Tensor] = field(default_factory=dict)
    rows: dict[str, Tensor] = field(default_factory=dict)
    lookups: dict[str, Tensor] = field(default_factory=dict)
    output_covariances: dict[str, Tensor] = field(default_factory=dict)
    _last: tuple[weakref.ref[Tensor], Tensor] | None = None

    @contextmanager
    def watch(self, sites: Sites) -> Iterator[None]:
        """
        Collect from a model while the block runs.

        Gradients are collected where autograd is on: tables give out rows that require
        one, so the model's parameters need not and should not.

        Args:
            sites: Which modules to listen to.

        Yields:
            Nothing.

        """
        handles = list(self._attach(sites))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._last = None

    def _attach(self, sites: Sites) -> Iterator[RemovableHandle]:
        for name, module in sites.maps:
            yield module.register_forward_hook(partial(self._see_map, name))
        for name, module in sites.tables:
            yield module.register_forward_hook(partial(self._see_table, name))

    def _see_map(self, name: str, _: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        gram = self._gram(inputs[0])
        _add(self.hessians, name, gram)
        if output.requires_grad:
            _on_gradient(output, partial(self._see_gradient, name))

    def _see_gradient(self, name: str, gradient: Tensor) -> None:
        flat = gradient.detach().float().flatten(0, -2)
        _add(self.rows, name, flat.square().sum(0, dtype=torch.float64))
        if flat.shape[1] <= MAX_ROWS:
            _add(self.output_covariances, name, _upper_gram(flat))

    def _see_table(
        self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Tensor
    ) -> None:
        if torch.is_grad_enabled():
            if not output.requires_grad:
                output.requires_grad_()
            rows = len(module.get_parameter("weight"))
            _on_gradient(output, partial(self._see_lookup, name, inputs[0], rows))

    def _see_lookup(self, name: str, index: Tensor, rows: int, gradient: Tensor) -> None:
        squares = gradient.detach().float().square().mean(-1, dtype=torch.float64).flatten()
        empty = torch.zeros(rows, dtype=torch.float64, device=gradient.device)
        _add(self.lookups, name, empty.index_add_(0, index.flatten(), squares))

    def _gram(self, x: Tensor) -> Tensor:
        # Queries, keys and values read one and the same tensor: it is multiplied once.
        if self._last is not None and self._last[0]() is x:
            return self._last[1]
        gram = _upper_gram(x.detach().float().flatten(0, -2))
        self._last = weakref.ref(x), gram
        return gram

    def tensors(self) -> Iterator[Tensor]:
        """Yield every sum, in an order that depends on the model alone."""
        for sums in (self.hessians, self.rows, self.lookups, self.output_covariances):
            yield from (sums[name] for name in sorted(sums))

    def mean_hessians(self, tokens: int) -> dict[str, Tensor]:
        """Return ``sum x x' / tokens``, exactly symmetric, on the CPU; the sums are used up."""
        return _symmetric_means(self.hessians, tokens)

    def mean_output_covariances(self, tokens: int) -> dict[str, Tensor]:
        """Return ``sum g g' / tokens``, exactly symmetric, on the CPU; the sums are used up."""
        return _symmetric_means(self.output_covariances, tokens)

    def mean_rows(self, tokens: int) -> dict[str, Tensor]:
        """Return the mean squared gradient of each output row, float32, on the CPU."""
        return _means(self.rows, tokens)

    def mean_lookups(self, tokens: int) -> dict[str, Tensor]:
        """Return the squared gradient of each table row per token, float32, on the CPU."""
        return _means(self.lookups, tokens)


def _on_gradient(output: Tensor, see: Callable[[Tensor], None]) -> None:
    output.register_hook(see)  # type: ignore[no-untyped-call]


def _add(sums: dict[str, Tensor], name: str, more: Tensor) -> None:
    if name in sums:
        sums[name] += more
    else:
        sums[name] = more.clone()


def _upper_gram(flat: Tensor) -> Tensor:
    """Return the sum of ``x x'`` over rows x, only blocks on and above the diagonal."""
    gram = flat.new_zeros(flat.shape[1], flat.shape[1])
    for low in range(0, flat.shape[1], BLOCK):
        gram[low : low + BLOCK, low:] = flat[:, low : low + BLOCK].T @ flat[:, low:]
    return gram


def _symmetric_means(sums: dict[str, Tensor], tokens: int) -> dict[str, Tensor]:
    means = {}
    for name in list(sums):
        upper = sums.pop(name).cpu().triu_()
        means[name] = upper.add_(upper.triu(1).T).div_(tokens)
    return means


def _means(sums: Mapping[str, Tensor], tokens: int) -> dict[str, Tensor]:
    return {name: (total / tokens).float().cpu() for name, total in sums.items()}
