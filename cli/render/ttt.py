"""The output of an evaluation that learns."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from .estimate import estimate


def lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is to be said of the learning, as names and values."""
    if "ttt" not in found:
        return
    facts, recipe = found["ttt"], found["ttt"]["recipe"]
    name = f"{recipe['name']} ({recipe['strategy']})"
    if "attribution" in found:
        yield "test-time training", name
        for row in found["attribution"]:
            yield row["what"], _bits(row)
        return
    order = "score-first" if facts["score_first"] else "NOT score-first"
    yield "test-time training", f"{name}, {facts['updates']:,} updates, {order}"
    if facts["resumed_steps"]:
        yield "resumed", f"{facts['resumed_steps']:,} steps are those of an earlier run, as kept"
    if facts["temperature"] is not None:
        yield "temperature", f"{facts['temperature']:g}"
    if "second_pass" in facts:
        bits = estimate(facts["second_pass"]["bits_per_byte"], ".6f")
        yield "second pass, not score-first", f"{bits} bits per byte"


def _bits(row: Mapping[str, Any]) -> str:
    bits = estimate(row["score"]["bits_per_byte"], ".6f")
    change = row["change"]
    return bits if change is None else f"{bits}, {estimate(change, '+.6f')} to the one before"


def stopped(state: str) -> None:
    """Say that an evaluation was interrupted and can be carried on."""
    click.echo(f"artpack: interrupted; the same command carries on from {state}", err=True)
