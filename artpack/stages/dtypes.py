"""The types of tensors, by the names that torch gives them, without torch."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias, TypeVar

T = TypeVar("T")

ByName: TypeAlias = Mapping[str, T]
"""By name, of a dtype or another choice: a bundle has those entries of it that it needs."""

BYTES: ByName[int] = MappingProxyType(
    {
        "float64": 8,
        "float32": 4,
        "float16": 2,
        "bfloat16": 2,
        "float8_e4m3fn": 1,
        "float8_e5m2": 1,
        "float8_e4m3fnuz": 1,
        "float8_e5m2fnuz": 1,
        "float8_e8m0fnu": 1,
        "float4_e2m1fn_x2": 1,
        "complex128": 16,
        "complex64": 8,
        "complex32": 4,
        "int64": 8,
        "int32": 4,
        "int16": 2,
        "int8": 1,
        "uint64": 8,
        "uint32": 4,
        "uint16": 2,
        "uint8": 1,
        "bool": 1,
        "int1": 1,
        "int2": 1,
        "int3": 1,
        "int4": 1,
        "int5": 1,
        "int6": 1,
        "int7": 1,
        "uint1": 1,
        "uint2": 1,
        "uint3": 1,
        "uint4": 1,
        "uint5": 1,
        "uint6": 1,
        "uint7": 1,
        "bits16": 2,
        "bits8": 1,
        "bits4x2": 1,
        "bits2x4": 1,
        "bits1x8": 1,
    }
)
"""Size of an element; older versions of torch lack some of them."""

GRIDDED = frozenset(tuple(BYTES)[:6])
"""Types of tensors that may be stored by a grid: what it gives is rounded to them."""
