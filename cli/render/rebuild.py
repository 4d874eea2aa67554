"""The output of ``artpack rebuild``."""

import json
from collections.abc import Iterator
from pathlib import Path

import artpack

from .flags import with_flags
from .tables import print_json, print_lines, print_table

LONGEST = 20
"""Rows of a table; JSON has all of them."""

WIDEST = 24


def report(path: Path, result: "artpack.RebuildResult", *, as_json: bool) -> None:
    """Print whether an artifact could be made again, and what differs."""
    if as_json:
        print_json({"artifact": str(path), **result.to_json()})
        return
    if result.identical:
        print_lines([f"{path}: identical, {result.artifact_bytes:,} bytes{_kept(result)}"])
        return
    print_lines([f"{path}: differs, in {len(result.differences):,} places, causes first"])
    rows = [
        (one.kind, one.where, _short(one.there), _short(one.here)) for one in result.differences
    ]
    columns = ("what", "where", "in the file", "made again")
    print_table(columns, rows[:LONGEST], text=columns)
    print_lines(_conclusions(result))


def _conclusions(result: "artpack.RebuildResult") -> Iterator[str]:
    if len(result.differences) > LONGEST:
        yield f"and {len(result.differences) - LONGEST:,} more: --json lists all"
    if result.reason is not None:
        yield f"nothing was made: {with_flags(result.reason)}"
        return
    if result.changed:
        changed, whole = (
            sum(getattr(one, name) for one in result.changed) for name in ("changed", "symbols")
        )
        first = result.changed[0]
        yield (
            f"symbols: {changed:,} of {whole:,} are others, in {len(result.changed)} tensors,"
            f" {first.name} first ({first.changed:,} of {first.symbols:,})"
        )
    else:
        yield f"symbols: all the same{_kept(result)}"
    how = "its own" if result.same_coding else "other"
    yield f"coding: the file's own symbols, coded again, give {how} streams"


def _kept(result: "artpack.RebuildResult") -> str:
    return f"; symbols of {len(result.kept)} tensors are the file's own" if result.kept else ""


def _short(value: object) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."
