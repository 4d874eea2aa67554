"""Sizes on the command line: ``16000000``, ``16M``, ``1.5 MiB``."""

import re
from typing import TYPE_CHECKING

import click

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}
MAX_BYTES = 1 << 63


if TYPE_CHECKING:
    IntType = click.ParamType[int]
    IntsType = click.ParamType[tuple[int, ...]]
else:  # before click 8.4 it is not generic
    IntType = IntsType = click.ParamType


class Size(IntType):
    """
    A number of bytes, with or without a unit.

    >>> Size().convert("16M", None, None), Size().convert("1.5 MiB", None, None)
    (16000000, 1572864)

    """

    name = "size"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read a size of 1 byte or more; an int is taken as it is."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"\s*(\d[\d_]{0,30}(?:\.\d{1,30})?)\s*([KMG]?I?)B?\s*", value.upper())
        if found is None or found[2] not in UNITS:
            self.fail(f"{value!r:.40} is no size: write 16000000, 16M or 15.5MiB", param, ctx)
        size = int(float(found[1].replace("_", "")) * UNITS[found[2]])
        if not 1 <= size < MAX_BYTES:
            self.fail(f"{value!r:.40} is no size that a file can have", param, ctx)
        return size


class SizeList(IntsType):
    """
    Sizes with commas between them.

    >>> SizeList().convert("8M,12M", None, None)
    (8000000, 12000000)

    """

    name = "sizes"

    def convert(
        self,
        value: str | tuple[int, ...],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[int, ...]:
        """Read one size or more; a tuple is taken as it is."""
        if isinstance(value, tuple):
            return value
        return tuple(Size().convert(part, param, ctx) for part in value.split(","))
