"""Laws that every stage keeps; the tests of a table apply them to each of its stages."""

import json
from typing import TypeVar

import numpy as np
import pytest

from artpack.errors import CorruptError, TruncatedError
from artpack.stages import Layout, Stage, SymbolCoder, Table, stage_from_json, stage_to_json
from artpack.stages.symbols import Symbols

StageT = TypeVar("StageT", bound=Stage)


def check_config_round_trip(table: Table[StageT], stage: StageT) -> None:
    """A stage comes back equal from real JSON, through its table."""
    again = stage_from_json(table, json.loads(json.dumps(stage_to_json(stage))))
    assert type(again) is type(stage)
    assert again == stage
    assert again.config() == stage.config()


def check_symbol_coder(coder: SymbolCoder, symbols: Symbols, *, alphabet: int) -> None:
    """Symbols survive, always give the same bytes, and those bytes are all or nothing."""
    data = coder.encode(symbols, alphabet=alphabet)
    assert coder.encode(symbols.copy(), alphabet=alphabet) == data
    decoded = coder.decode(data, alphabet=alphabet, count=symbols.size)
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    np.testing.assert_array_equal(decoded, symbols)
    for size in range(len(data)):
        with pytest.raises(TruncatedError):
            coder.decode(data[:size], alphabet=alphabet, count=symbols.size)
    for surplus in (b"\0", b"\xff", bytes(4)):
        with pytest.raises((CorruptError, TruncatedError)):
            coder.decode(data + surplus, alphabet=alphabet, count=symbols.size)


def check_decodes_only_its_own(
    coder: SymbolCoder, data: bytes, *, alphabet: int, count: int
) -> None:
    """Any bytes at all are refused, unless they are just what the symbols encode to."""
    try:
        symbols = coder.decode(data, alphabet=alphabet, count=count)
    except (CorruptError, TruncatedError):
        return
    assert symbols.shape == (count,)
    assert coder.encode(symbols, alphabet=alphabet) == data


def check_layout(layout: Layout, symbols: Symbols) -> None:
    """Symbols survive, always in the same order, with side information of the size foretold."""
    shape = symbols.shape[0], symbols.shape[1]
    side, ordered = layout.forward(symbols)
    assert len(side) == layout.side_bytes(shape)
    assert ordered.dtype == np.uint8
    assert ordered.shape == (symbols.size,)
    np.testing.assert_array_equal(np.sort(ordered), np.sort(symbols, axis=None))
    again_side, again = layout.forward(symbols.copy())
    assert again_side == side
    np.testing.assert_array_equal(again, ordered)
    restored = layout.inverse(side, ordered, shape=shape)
    assert restored.dtype == np.uint8
    np.testing.assert_array_equal(restored, symbols)
    _check_layout_refusals(layout, side, ordered, shape)


def _check_layout_refusals(
    layout: Layout, side: bytes, ordered: Symbols, shape: tuple[int, int]
) -> None:
    for size in range(len(side)):
        with pytest.raises(TruncatedError):
            layout.inverse(side[:size], ordered, shape=shape)
    with pytest.raises(CorruptError):
        layout.inverse(side + b"\0", ordered, shape=shape)
    with pytest.raises(CorruptError):
        layout.inverse(side, np.append(ordered, np.uint8(0)), shape=shape)
