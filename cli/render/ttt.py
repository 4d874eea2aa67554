"""Prints how an evaluation that learns is going, and what came of it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from artpack.evaluate.ttt.adaptation import Watch
from artpack.evaluate.ttt.running_score import Point

from .eval import Speed, estimate


@contextmanager
def progress(*, shown: bool) -> Iterator[Callable[[str], Watch]]:
    """Show a bar for each evaluation on stderr, if that is a terminal; yield what starts one."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[bits]}"),
        Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:

        def start(what: str) -> Watch:
            task = bar.add_task(what, total=None, bits="")

            def tell(point: Point, total: int) -> None:
                bits = f"{point.bits_per_byte:.4f} bits per byte so far"
                bar.update(task, completed=point.scored, total=total, bits=bits)

            return tell

        yield start


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
    yield "test-time training", f"{name}, {facts['lessons']:,} lessons, {order}"
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
