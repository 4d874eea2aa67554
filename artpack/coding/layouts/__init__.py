"""The order in which the symbols of a part are coded."""

from artpack.coding.layouts.plain import Columns, Rows
from artpack.coding.layouts.rare.similar_rows import SimilarRows
from artpack.stages import Layout, Table, by_id

LAYOUTS: Table[Layout] = by_id((Rows, Columns, SimilarRows))

__all__ = ["LAYOUTS", "Columns", "Rows", "SimilarRows"]
