"""
Eight numbers at once in compiled functions: what loops of eight are not turned into by themselves.

LLVM makes them into whatever the processor has: one register of 256 bits, two of 128.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WIDTH = 8

INDEX = ir.IntType(64)
SINGLE = ir.FloatType()
VECTOR = ir.VectorType(SINGLE, WIDTH)
EVERYWHERE = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
UNKNOWN = ir.Constant(VECTOR, ir.Undefined)


def _add_scaled(
    _typing: Any, out: Any, _at: Any, base: Any, _base_at: Any, _by: Any, row: Any, _row_at: Any
) -> tuple[Any, Any]:

    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        out, at, base, base_at, by, row, row_at = given
        kinds = signature.args
        known = _load(builder, _place(context, builder, kinds[2], base, base_at))
        scaled = _load(builder, _place(context, builder, kinds[5], row, row_at))
        total = builder.fadd(known, builder.fmul(scaled, _splat(builder, by)))
        _store(builder, total, _place(context, builder, kinds[0], out, at))
        return context.get_dummy_value()

    index = types.uint64
    return types.void(out, index, base, index, types.float32, row, index), generate


def _add_product(
    _typing: Any,
    out: Any,
    _at: Any,
    base: Any,
    _base_at: Any,
    factors: Any,
    _factors_at: Any,
    tile: Any,
    _tile_at: Any,
) -> tuple[Any, Any]:
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        out, at, base, base_at, factors, factors_at, tile, tile_at = given
        kinds = signature.args
        total = _load(builder, _place(context, builder, kinds[2], base, base_at))
        for j in range(WIDTH):
            where = builder.add(factors_at, INDEX(j))
            factor = builder.load(_element(context, builder, kinds[4], factors, where))
            where = builder.add(tile_at, INDEX(j * WIDTH))
            row = _load(builder, _place(context, builder, kinds[6], tile, where))
            total = builder.fadd(total, builder.fmul(row, _splat(builder, factor)))
        _store(builder, total, _place(context, builder, kinds[0], out, at))
        return context.get_dummy_value()

    index = types.uint64
    return types.void(out, index, base, index, factors, index, tile, index), generate


def _element(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    element = _element(context, builder, kind, array, index)
    return builder.bitcast(element, VECTOR.as_pointer())


def _load(builder: Any, place: Any) -> Any:
    return builder.load(place, align=4)


def _store(builder: Any, value: Any, place: Any) -> None:
    builder.store(value, place, align=4)


def _splat(builder: Any, number: Any) -> Any:
    first = builder.insert_element(UNKNOWN, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, UNKNOWN, EVERYWHERE)


Kernel = Callable[..., None]

add_scaled: Kernel = intrinsic(_add_scaled)
"""
``add_scaled(out, at, base, base_at, by, row, row_at)`` sets eight numbers of ``out`` to eight of
``base``, plus ``by`` times eight of ``row``.

Arrays are contiguous, of float32, and taken as flat; indices are uint64 and not checked.
"""

add_product: Kernel = intrinsic(_add_product)
"""
``add_product(out, at, base, base_at, factors, factors_at, tile, tile_at)`` sets eight numbers
of ``out`` to eight of ``base``, plus eight factors times a tile of 8 x 8; likewise.
"""
