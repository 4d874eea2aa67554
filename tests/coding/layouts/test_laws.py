"""The laws of layouts, for every layout of the table."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artpack.coding.layouts import LAYOUTS
from artpack.errors import CorruptError, UsageError
from artpack.stages import Layout
from artpack.stages.symbols import Symbols
from tests.laws import check_config_round_trip, check_layout
from tests.strategies import parts

every_layout = pytest.mark.parametrize(
    "layout", [layout() for layout in LAYOUTS.values()], ids=list(LAYOUTS)
)


@every_layout
def test_config_survives_json(layout: Layout) -> None:
    check_config_round_trip(LAYOUTS, layout)


@every_layout
@pytest.mark.parametrize("rows", [0, 1, 2, 3, 17])
@pytest.mark.parametrize("cols", [0, 1, 2, 3, 17])
def test_every_small_shape_survives(layout: Layout, rows: int, cols: int) -> None:
    generator = np.random.default_rng(rows)
    check_layout(layout, generator.integers(0, 256, (rows, cols), dtype=np.uint8))


@every_layout
@settings(deadline=None)
@given(symbols=parts())
def test_any_symbols_survive(layout: Layout, symbols: Symbols) -> None:
    check_layout(layout, symbols)


@every_layout
def test_symbols_need_not_be_contiguous(layout: Layout) -> None:
    symbols = np.random.default_rng(0).integers(0, 9, (8, 10), dtype=np.uint8)
    check_layout(layout, symbols[::-2, ::3])


@every_layout
@settings(deadline=None)
@given(rows=st.integers(0, 40), data=st.data())
def test_any_side_information_is_refused_or_canonical(
    layout: Layout, rows: int, data: st.DataObject
) -> None:
    symbols = np.arange(rows, dtype=np.uint8)
    size = layout.side_bytes((rows, 1))
    side = data.draw(st.binary(min_size=size, max_size=size))
    try:
        restored = layout.inverse(side, symbols, shape=(rows, 1))
    except CorruptError:
        return
    np.testing.assert_array_equal(np.sort(restored, axis=None), symbols)


@every_layout
@pytest.mark.parametrize(
    "symbols", [np.zeros(4, dtype=np.uint8), np.zeros((2, 2), dtype=np.int8)], ids=["1-d", "int8"]
)
def test_anything_but_rows_of_bytes_is_refused(layout: Layout, symbols: np.ndarray) -> None:
    with pytest.raises(UsageError, match="must be two-dimensional uint8"):
        layout.forward(symbols)
