"""Floating-point types of two bytes and of one, as numpy computes with them."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.stages.dtypes import ByName
from artpack.stages.symbols import Symbols

Values: TypeAlias = NDArray[np.float32]

SMALL = {
    "float8_e4m3fn": (4, 7),
    "float8_e4m3fnuz": (4, 8),
    "float8_e5m2": (5, 15),
    "float8_e5m2fnuz": (5, 16),
}
"""Types of one byte with a sign: bits of exponent, and its bias."""


def widen(data: Symbols, dtype: str) -> Values:
    """
    Read floating-point numbers of up to four bytes.

    Args:
        data: uint8, ``(count, bytes of a number)``, the least significant first.
        dtype: What torch calls their type.

    Returns:
        fp32, ``(count,)``, exact; NaN keep the bits of their fraction where they have any.

    >>> widen(np.array([[0x80, 0x3F], [0x20, 0xC1]], np.uint8), "bfloat16").tolist()
    [1.0, -10.0]
    >>> widen(np.array([[0x7E], [0x81]], np.uint8), "float8_e4m3fn").tolist()
    [448.0, -0.001953125]

    """
    return READERS[dtype](np.ascontiguousarray(data))


def _read_float32(data: Symbols) -> Values:
    return data.view("<f4").ravel()


def _read_float16(data: Symbols) -> Values:
    return data.view("<f2").ravel().astype(np.float32)


def _read_bfloat16(data: Symbols) -> Values:
    return (data.view("<u2").ravel().astype(np.uint32) << np.uint32(16)).view(np.float32)


def _read_bytes(dtype: str) -> Callable[[Symbols], Values]:
    return lambda data: byte_values(dtype)[data.ravel()]


READERS: ByName[Callable[[Symbols], Values]] = {
    "float32": _read_float32,
    "float16": _read_float16,
    "bfloat16": _read_bfloat16,
    "float8_e4m3fn": _read_bytes("float8_e4m3fn"),
    "float8_e4m3fnuz": _read_bytes("float8_e4m3fnuz"),
    "float8_e5m2": _read_bytes("float8_e5m2"),
    "float8_e5m2fnuz": _read_bytes("float8_e5m2fnuz"),
    "float8_e8m0fnu": _read_bytes("float8_e8m0fnu"),
}


def byte_values(dtype: str) -> Values:
    """
    Return what each byte stands for.

    Args:
        dtype: A type of one byte, ``float8_e8m0fnu`` or one of :data:`SMALL`.

    Returns:
        fp32, ``(256,)``.

    """
    codes = np.arange(256)
    if dtype == "float8_e8m0fnu":
        return np.where(codes < 255, np.exp2(codes - 127.0), np.nan).astype(np.float32)
    exponent_bits, bias = SMALL[dtype]
    places = 7 - exponent_bits
    exponents = codes >> places & (1 << exponent_bits) - 1
    fractions = codes & (1 << places) - 1
    significands = fractions + (np.minimum(exponents, 1) << places)
    values = np.ldexp(significands.astype(np.float32), np.maximum(exponents, 1) - bias - places)
    if dtype.endswith("uz"):
        values[128] = np.nan
    elif dtype == "float8_e4m3fn":
        values[127::128] = np.nan
    else:
        values[exponents == 31] = np.where(fractions[exponents == 31] > 0, np.nan, np.inf)
    values[129:] *= -1
    values[128] = np.nan if dtype.endswith("uz") else -0.0
    found: Values = values.astype(np.float32)
    return found
