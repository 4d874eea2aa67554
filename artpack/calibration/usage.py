"""What a running model does with its stored tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from artpack.calibration.products import Product
from artpack.calibration.views import Part
from artpack.calibration.watch import watching


@dataclass(frozen=True)
class Usage:
    """
    Stored names by what was seen to be done with them.

    Attributes:
        matrices: Multiplied with vectors that have an element for each column, as the
            weights of linear layers and convolutions are.
        transposed: Only multiplied with vectors that have an element for each row.
        tables: Looked up by row.
        unseen: Floating tensors of two axes or more that none of this was done with.
    """

    matrices: frozenset[str]
    transposed: frozenset[str]
    tables: frozenset[str]
    unseen: frozenset[str]


class _Uses:
    def __init__(self) -> None:
        self.by_columns, self.by_rows, self.tables = set[str](), set[str](), set[str]()

    def see_product(self, product: Product, *, backward: bool) -> None:
        """Note the matrix."""
        if not backward:
            (self.by_columns if product.along_columns else self.by_rows).add(product.part.name)

    def see_lookup(self, table: Part, index: Tensor, output: Tensor) -> None:  # noqa: ARG002
        """Note the table."""
        self.tables.add(table.name)


def discover(places: Mapping[str, Tensor], run: Callable[[], object]) -> Usage:
    """
    Run a model once to see what it does with its stored tensors.

    Args:
        places: Stored name to a view of the live tensor, rows first.
        run: Runs the model; no gradients are kept.

    Returns:
        The names, by what was seen.

    """
    uses = _Uses()
    with watching(places, uses), torch.no_grad():
        run()
    wide = {name for name, place in places.items() if place.ndim > 1 and place.is_floating_point()}
    return Usage(
        matrices=frozenset(uses.by_columns),
        transposed=frozenset(uses.by_rows - uses.by_columns),
        tables=frozenset(uses.tables),
        unseen=frozenset(wide - uses.by_columns - uses.by_rows - uses.tables),
    )
