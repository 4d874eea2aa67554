"""Multiplications with stored matrices, found in the operations that torch runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from artpack.calibration.convolutions import Geometry, output_vectors, unfold
from artpack.calibration.views import Part, StoredViews


@dataclass(frozen=True)
class Product:
    """
    Vectors that a part of a stored matrix is multiplied with.

    Attributes:
        part: Of the matrix.
        along_columns: Whether a vector has an element for each column, as ``x`` in
            ``W x``; otherwise one for each row, as ``g`` in ``W' g``.
        vectors: (count, elements).
        share: How much they count: a group of a convolution is one of several.
    """

    part: Part
    along_columns: bool
    vectors: Tensor
    share: float = 1.0


Rule = Callable[[StoredViews, Sequence[Any]], Iterator[Product]]


def find_products(views: StoredViews, name: str, args: Sequence[Any]) -> Iterator[Product]:
    """
    Find the multiplications with stored matrices in one operation.

    Args:
        views: What is known of the matrices.
        name: The operation's, as ``aten::mm``.
        args: Its positional arguments.

    Yields:
        Each product with each part.

    """
    rule = _RULES.get(name)
    if rule is not None:
        yield from rule(views, args)


def _product(first: int) -> Rule:
    """Return the rule of operations that multiply the argument at a place with the next."""

    def rule(views: StoredViews, args: Sequence[Any]) -> Iterator[Product]:
        a, b = args[first : first + 2]
        if views.know(a) or views.know(b):
            yield from _products(views, _batched(a), _batched(b[..., None] if b.ndim == 1 else b))

    return rule


def _batched(matrix: Tensor) -> Tensor:
    return matrix if matrix.ndim == 3 else matrix[None]


def _products(views: StoredViews, a: Tensor, b: Tensor) -> Iterator[Product]:
    """Find the stored operands of ``a b``, (batch, n, k) and (batch, k, m)."""
    for vectors, matrices in ((a, b), (b.mT, a.mT)):  # (a b)' is b' a'
        if not views.know(matrices):
            continue
        if len(matrices) == 1 or matrices.stride(0) == 0:
            pairs = [(vectors.flatten(0, 1), matrices[0])]
        else:
            pairs = list(zip(vectors, matrices, strict=True))
        for some, matrix in pairs:
            yield from _matches(views, some, matrix)


def _matches(views: StoredViews, vectors: Tensor, matrix: Tensor) -> Iterator[Product]:
    for match in views.matrices(matrix):
        met = match.cols if match.turned else match.rows
        whole = met.stop - met.start == len(matrix)
        yield Product(match.part, match.turned, vectors if whole else vectors[:, met])


def _grouped(views: StoredViews, args: Sequence[Any]) -> Iterator[Product]:
    """Vectors (n, k), matrices (groups, k, m), and where each group of vectors ends."""
    vectors, matrices, ends = args[:3]
    if vectors.ndim == 2 and matrices.ndim == 3 and ends is not None and views.know(matrices):
        begin = 0
        for end, matrix in zip(ends.tolist(), matrices, strict=True):
            yield from _matches(views, vectors[begin:end], matrix)
            begin = end


def _grouped_backward(views: StoredViews, args: Sequence[Any]) -> Iterator[Product]:
    _, matrices, ends, gradients = args[:4]
    yield from _grouped(views, (gradients, matrices.mT, ends))


def _convolution(views: StoredViews, args: Sequence[Any]) -> Iterator[Product]:
    x, kernel, _, stride, padding, dilation, transposed, _, groups = args[:9]
    geometry = Geometry(kernel.shape[2:], stride, padding, dilation, groups)
    for part in () if transposed else views.kernels(kernel):
        for vectors in unfold(x, geometry):
            yield Product(part, along_columns=True, vectors=vectors, share=1 / groups)


def _convolution_backward(views: StoredViews, args: Sequence[Any]) -> Iterator[Product]:
    gradient, _, kernel, _, _, _, _, transposed = args[:8]
    for part in () if transposed else views.kernels(kernel):
        yield Product(part, along_columns=False, vectors=output_vectors(gradient))


_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("aten::mm", "aten::bmm", "aten::mv"), _product(0)),
    **dict.fromkeys(
        ("aten::addmm", "aten::baddbmm", "aten::addbmm", "aten::addmv", "aten::_addmm_activation"),
        _product(1),
    ),
    "aten::_grouped_mm": _grouped,
    "aten::convolution": _convolution,
    "aten::convolution_backward": _convolution_backward,
    # What transformers runs experts with where torch has no grouped product.
    "transformers::grouped_mm_fallback": _grouped,
    "transformers::grouped_mm_fallback_backward": _grouped_backward,
}
