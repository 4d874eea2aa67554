"""
Second moments of what goes into stored matrices, and of the gradients that come back to them.

Both are sums over tokens that are taken while a model runs, so memory is that of the
sums. A matrix that is multiplied several times in a pass (a looped layer, the steps of a
recurrent one) adds up all its visits. Nothing is summed below float32.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from artpack.calibration.products import Product
from artpack.calibration.views import Axis, Part
from artpack.calibration.watch import watching

PRODUCTS = frozenset({"hessians", "output_covariances"})
"""Sums of products of two elements."""

MAX_ROWS = 4096
"""Outputs up to which all products of gradients are summed, not their squares alone."""

BLOCK = 256
"""Columns of a product at once: only blocks on and above the diagonal are multiplied."""


Squares = Callable[[Tensor], Tensor]
"""From outputs (n, d) to the mean squares of the gradients that are drawn there, (n, d)."""


@dataclass(frozen=True, eq=False)
class _OutputGradients:
    """What was drawn at the model's outputs, and what its squares are in the mean."""

    gradient: Tensor
    outputs: Tensor
    squares: Squares

    def mean_squares(self, met: Tensor) -> Tensor | None:
        """
        Sum the mean squares of gradients that one draw is known of.

        Args:
            met: The gradient at a matrix's outputs, (n, rows).

        Returns:
            float64 (rows,); None if these outputs are not the model's, each by itself, through
            a rising function or none: a soft cap, a temperature.

        """
        if met.shape != self.gradient.shape or bool((met * self.gradient < 0).any()):
            return None
        total = met.new_zeros(met.shape[1], dtype=torch.float64)
        for low in range(0, len(met), BLOCK):
            some = slice(low, low + BLOCK)
            slopes = torch.nan_to_num(met[some] / self.gradient[some].float(), 0.0, 0.0, 0.0)
            squares = slopes.square() * self.squares(self.outputs[some])
            total += squares.sum(0, dtype=torch.float64)
        return total


@dataclass(eq=False)
class Moments:
    """
    Sums over tokens, collected while :meth:`watch` is entered.

    Attributes:
        hessians: Stored tensor to ``sum x x'`` of its inputs, float32 (cols, cols). While
            collecting, only blocks on and above the diagonal are filled.
        rows: Stored tensor to the sum of squared gradients of its outputs, float64
            (rows,), one square for each visit of a map.
        lookups: Stored table to the sum of squared gradients of each row it gave out,
            divided by its width, float64 (rows,).
        output_covariances: Stored tensor of at most ``MAX_ROWS`` rows to ``sum g g'`` of the
            gradients of its outputs, float32 (rows, rows), filled like ``hessians``.
        visits: Stored tensor to the number of inputs in its Hessian, float64 scalar.
        positions: Number of rows of the model's outputs, float64 scalar.
    """

    hessians: dict[str, Tensor] = field(default_factory=dict)
    rows: dict[str, Tensor] = field(default_factory=dict)
    lookups: dict[str, Tensor] = field(default_factory=dict)
    output_covariances: dict[str, Tensor] = field(default_factory=dict)
    visits: dict[str, Tensor] = field(default_factory=dict)
    positions: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    _last: tuple[Tensor, Tensor] | None = None
    _outputs: "_OutputGradients | None" = None

    @contextmanager
    def watch(self, places: Mapping[str, Tensor]) -> Iterator[None]:
        """
        Collect from a model while the block runs.

        Gradients are collected where autograd is on: inputs and looked-up rows are made to
        require one, so the model's parameters need not and should not.

        Args:
            places: Stored name to a view of the live tensor: a matrix (rows, cols), the
                transpose of one that is stored the other way round, a kernel of a
                convolution (rows, ...). Others are left out. Some of a model's tensors
                may be watched at a time.

        Yields:
            Nothing.

        """
        try:
            with watching(places, self):
                yield
        finally:
            self._last = self._outputs = None

    def see_product(self, product: Product, *, backward: bool) -> None:
        """Add the inputs of a matrix, or the gradients at its outputs."""
        if product.along_columns and not backward:
            self._see_inputs(product)
        elif backward and not product.along_columns:
            self._see_gradients(product.part, product.vectors)

    def _see_inputs(self, product: Product) -> None:
        part, gram = product.part, self._gram(product.vectors)
        share = product.share * part.share_of("rows")
        _add(self.hessians, part, gram, ("cols", "cols"), share)
        visits = gram.new_full((), len(product.vectors), dtype=torch.float64)
        _add(self.visits, part, visits, (), share * part.share_of("cols"))

    def see_outputs(self, gradient: Tensor, outputs: Tensor, squares: Squares) -> None:
        """
        Be told of the gradient at the model's outputs, before it goes back.

        The matrix that gives the outputs then has the mean of its squares over all draws,
        not those of one: rare words are drawn too seldom to tell how their rows matter.

        Args:
            gradient: Of one draw, (n, d).
            outputs: The outputs, (n, d).
            squares: From rows of outputs to the mean of the gradient's squares.

        """
        self._outputs = _OutputGradients(gradient.detach(), outputs, squares)

    def _see_gradients(self, part: Part, gradients: Tensor) -> None:
        flat, share = gradients.detach().float(), part.share_of("cols")
        outputs, self._outputs = self._outputs, None  # only the first matrix may give them
        squares = None if outputs is None else outputs.mean_squares(flat)
        if squares is None:
            squares = flat.square().sum(0, dtype=torch.float64)
        _add(self.rows, part, squares, ("rows",), share)
        if part.shape[0] <= MAX_ROWS:
            gram = _upper_gram(flat)
            _add(self.output_covariances, part, gram, ("rows", "rows"), share)

    def see_lookup(self, table: Part, index: Tensor, output: Tensor) -> None:
        """Add the gradients of rows once they come back."""
        if output.requires_grad:
            see = partial(self._see_looked_up, table, index)
            output.register_hook(see)  # type: ignore[no-untyped-call]

    def _see_looked_up(self, table: Part, index: Tensor, gradient: Tensor) -> None:
        squares = gradient.detach().float().square().mean(-1, dtype=torch.float64).flatten()
        count = table.rows.stop - table.rows.start
        empty = torch.zeros(count, dtype=torch.float64, device=gradient.device)
        found = empty.index_add_(0, index.flatten(), squares)
        _add(self.lookups, table, found, ("rows",), 1.0)

    def _gram(self, vectors: Tensor) -> Tensor:
        # Queries, keys and values read the same input, or casts of it: it is multiplied once.
        # They are compared, as memory may have got another content since; that is cheap.
        if self._last is not None and _equal(self._last[0], vectors):
            return self._last[1]
        gram = _upper_gram(vectors.detach().float())
        self._last = vectors.clone(), gram
        return gram

    def tensors(self) -> Iterator[Tensor]:
        """Yield every sum, in an order that depends on the names alone."""
        for sums in self._sums().values():
            yield from (sums[name] for name in sorted(sums))

    def add(self, other: "Moments") -> None:
        """Add the sums of other batches, which are used up."""
        for kind, sums in self._sums().items():
            for name, total in getattr(other, kind).items():
                sums[name] = sums[name].add_(total) if name in sums else total
        self.positions += other.positions

    def shapes(self) -> dict[str, dict[str, torch.Size]]:
        """Return the shape of every sum, by the attribute that holds it and its name."""
        return {
            kind: {name: total.shape for name, total in sums.items()}
            for kind, sums in self._sums().items()
        }

    def fill(self, shapes: Mapping[str, Mapping[str, torch.Size]], device: str) -> None:
        """Start the sums that are not there yet at zero, as :meth:`shapes` has them."""
        for kind, sums in self._sums().items():
            dtype = torch.float32 if kind in PRODUCTS else torch.float64
            for name, shape in shapes[kind].items():
                sums.setdefault(name, torch.zeros(shape, dtype=dtype, device=device))

    def _sums(self) -> dict[str, dict[str, Tensor]]:
        return {
            "hessians": self.hessians,
            "rows": self.rows,
            "lookups": self.lookups,
            "output_covariances": self.output_covariances,
            "visits": self.visits,
        }

    def mean_hessians(self, tokens: int | None = None) -> dict[str, Tensor]:
        """
        Average ``x x'``; the sums are used up.

        Args:
            tokens: How many inputs there were; None for as many as each matrix had: an
                expert its share of the tokens, a looped layer more than all.

        Returns:
            Stored name to mean, exactly symmetric, on the CPU.

        """
        counts = {name: float(self.visits[name]) for name in self.hessians}
        return _symmetric_means(self.hessians, counts if tokens is None else tokens)

    def mean_output_covariances(self, tokens: int) -> dict[str, Tensor]:
        """Return ``sum g g' / tokens``, exactly symmetric, on the CPU; the sums are used up."""
        return _symmetric_means(self.output_covariances, tokens)

    def mean_rows(self, tokens: int) -> dict[str, Tensor]:
        """Return the mean squared gradient of each output row, float32, on the CPU."""
        return _means(self.rows, tokens)

    def mean_lookups(self, tokens: int) -> dict[str, Tensor]:
        """Return the squared gradient of each table row per token, float32, on the CPU."""
        return _means(self.lookups, tokens)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)


def _add(
    sums: dict[str, Tensor], part: Part, more: Tensor, axes: tuple[Axis, ...], share: float
) -> None:
    """Add a share of something to the sums of a matrix, where its part has its place."""
    if part.name not in sums:
        with torch.inference_mode(mode=False):  # sums outlive it
            sums[part.name] = more.new_zeros([part.size(axis) for axis in axes])
    where = tuple(part.slice_of(axis) for axis in axes)
    sums[part.name][where].add_(more, alpha=share)


def _upper_gram(flat: Tensor) -> Tensor:
    """Return the sum of ``x x'`` over rows x, only blocks on and above the diagonal."""
    gram = flat.new_zeros(flat.shape[1], flat.shape[1])
    for low in range(0, flat.shape[1], BLOCK):
        gram[low : low + BLOCK, low:] = flat[:, low : low + BLOCK].T @ flat[:, low:]
    return gram


def _symmetric_means(
    sums: dict[str, Tensor], counts: Mapping[str, float] | int
) -> dict[str, Tensor]:
    means = {}
    for name in list(sums):
        upper = sums.pop(name).cpu().triu_()
        count = counts if isinstance(counts, int) else max(1.0, counts[name])
        means[name] = upper.add_(upper.triu(1).T).div_(count)
    return means


def _means(sums: Mapping[str, Tensor], tokens: int) -> dict[str, Tensor]:
    return {name: (total / tokens).float().cpu() for name, total in sums.items()}


def moments_bytes(places: Mapping[str, Tensor]) -> dict[str, int]:
    """
    Return the memory that sums take.

    Args:
        places: As :meth:`Moments.watch` takes them.

    Returns:
        Stored name to the bytes of all sums of a tensor that is multiplied, looked up and
        reached by gradients.

    """
    wide = {name: place for name, place in places.items() if place.ndim > 1 and place.numel()}
    return {name: _bytes(len(place), place.numel() // len(place)) for name, place in wide.items()}


def _bytes(rows: int, cols: int) -> int:
    covariances = rows**2 if rows <= MAX_ROWS else 0
    return 4 * (cols**2 + covariances) + 2 * 8 * rows
