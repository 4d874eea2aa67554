"""The self-test of an installation: every decoder gives back what was encoded."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from artpack.coding.codecs import CODECS
from artpack.coding.codecs.rare.lrzip import Lrzip
from artpack.coding.layouts import LAYOUTS
from artpack.coding.symbol_coders import SYMBOL_CODERS
from artpack.quantize import (
    Bf16,
    Fp8,
    Fp16,
    GroupLevels,
    Lattice,
    LowRank,
    Raw,
    RowAsymInt,
    RowInt,
    RowPentanary,
)
from artpack.quantize.grids.factors import RowFactors
from artpack.quantize.rounding.clips import StdClip
from artpack.stages import Codec, Layout, Quantizer, SymbolCoder
from artpack.stages.symbols import Symbols

ROWS, COLUMNS = 24, 40
SMALLEST_ALPHABET = 3
GRIDS: tuple[Quantizer, ...] = (
    RowInt(6, StdClip(12.0)),
    GroupLevels(1, 8),
    RowPentanary(),
    RowAsymInt(6),
    Fp8(),
    Fp16(),
    Bf16(),
    Raw("float32"),
    LowRank(RowInt(6, StdClip(12.0)), 2, RowFactors(4)),
    Lattice(8, 31),
)
"""One of each kind."""

LRZIP_PROGRAMS = ("lrzip", "prlimit")

LOST = 0.8
"""No grid loses as much of the norm of normal weights."""


@dataclass(frozen=True)
class DecoderCheck:
    """
    What became of one decoder.

    Attributes:
        kind: ``codec``, ``coder``, ``layout`` or ``grid``.
        name: Its id in artifacts.
        passed: Whether it gave back what it should; None if it was not tried.
        fault: What is wrong, or why it was not tried; empty if nothing.
        seconds: How long it took, compilation included.
    """

    kind: str
    name: str
    passed: bool | None
    fault: str
    seconds: float


def check_decoders() -> Iterator[DecoderCheck]:
    """
    Try every decoder of the tables on a few symbols.

    Yields:
        What was found, one by one.

    """
    draw = np.random.default_rng(0)
    counts = draw.normal(size=(ROWS, COLUMNS)).round().clip(-1, 1) + 1
    symbols = counts.astype(np.uint8)
    weights = torch.from_numpy(draw.normal(size=(ROWS, COLUMNS)).astype(np.float32))
    for name, codec in CODECS.items():
        yield _check("codec", name, partial(_codec, codec(), symbols))
    for name, coder in SYMBOL_CODERS.items():
        yield _check("coder", name, partial(_coder, coder(), symbols))
    for name, layout in LAYOUTS.items():
        yield _check("layout", name, partial(_layout, layout(), symbols))
    for grid in GRIDS:
        yield _check("grid", grid.stage_id, partial(_grid, grid, weights))


def _check(kind: str, name: str, decodes: Callable[[], bool]) -> DecoderCheck:
    started = time.perf_counter()
    passed: bool | None
    try:
        passed = decodes()
        fault = "" if passed else "gives back something else"
    except Exception as error:  # noqa: BLE001 - whatever is wrong is what is asked for
        passed, fault = None if _lacks_program(name) else False, str(error) or type(error).__name__
    return DecoderCheck(kind, name, passed, fault, time.perf_counter() - started)


def _lacks_program(name: str) -> bool:
    return name == Lrzip.stage_id and not all(map(shutil.which, LRZIP_PROGRAMS))


def _codec(codec: Codec, symbols: Symbols) -> bool:
    data = symbols.tobytes()
    return codec.decode(codec.encode(data), size=len(data)) == data


def _coder(coder: SymbolCoder, symbols: Symbols) -> bool:
    alphabet = next(n for n in (SMALLEST_ALPHABET, 2) if coder.accepts(n))
    own = np.minimum(symbols, alphabet - 1).astype(np.uint8)
    data = coder.encode_matrices([own], alphabet=alphabet)
    (found,) = coder.decode_matrices(data, shapes=[(ROWS, COLUMNS)], alphabet=alphabet)
    return np.array_equal(found, own)


def _layout(layout: Layout, symbols: Symbols) -> bool:
    side, ordered = layout.forward(symbols)
    return np.array_equal(layout.inverse(side, ordered, shape=(ROWS, COLUMNS)), symbols)


def _grid(grid: Quantizer, weights: torch.Tensor) -> bool:
    found = grid.dequantize(grid.quantize(weights))
    return float((found - weights).norm() / weights.norm()) < LOST
