"""Prints what the training commands do."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from artpack.models import ModelConfig, parameter_count
from artpack.train.data import Data
from artpack.train.loop import Row
from artpack.train.train import Result

from .tables import print_json

LINE_SECONDS = 30
"""Without a terminal, a line this often."""


def tokenized(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what tokenize wrote."""
    if as_json:
        print_json(found)
        return
    for side, words in (("train", "to train on"), ("val", "held out")):
        tokens, size = found[f"{side}_tokens"], found[f"{side}_bytes"]
        click.echo(
            f"{found['folder']}: {tokens:,} tokens {words}, {size:,} bytes of text in"
            f" {found[f'{side}_documents']:,} documents, {size / tokens:.3f} bytes a token"
        )


@contextmanager
def progress(data: Data, *, shown: bool) -> Iterator[Callable[[Row, float], None]]:
    """Show loss, bits per byte, speed and the time left on stderr; yield what is told a step."""
    console = Console(stderr=True)
    live = shown and console.is_terminal
    columns = ("training", BarColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, console=console, disable=not live) as bar:
        task = bar.add_task("training", total=1.0, said="")
        meter = _Meter(data)

        def tell(row: Row, done: float) -> None:
            said = meter.read(row, done)
            bar.update(task, completed=min(done, 1.0), said=said)
            if shown and not live and meter.line_is_due():
                click.echo(said, err=True)

        yield tell


class _Meter:
    """Turns the rows of steps into words, with the speed since the first one it saw."""

    def __init__(self, data: Data) -> None:
        held_out = data.held_out
        self._tokens_a_byte = held_out.ids.size / max(int(held_out.byte_counts.sum()), 1)
        self._last_line = -math.inf
        self._first: tuple[float, float, float] | None = None

    def read(self, row: Row, done: float) -> str:
        """Return what there is to say about a step."""
        bits = row["loss"] / math.log(2) * self._tokens_a_byte
        said = f"step {row['step']:.0f}: loss {row['loss']:.4f}, about {bits:.3f} bits per byte"
        if "held_out_bits_per_byte" in row:
            said += f", {row['held_out_bits_per_byte']:.4f} on held-out text"
        now = time.monotonic(), row["tokens"], done
        seconds, tokens, share = (b - a for a, b in zip(self._first or now, now, strict=True))
        self._first = self._first or now
        if share > 0:
            left = (1 - done) / share * seconds
            said += f", {tokens / seconds:,.0f} tokens/s, {_clock(max(left, 0.0))} left"
        return said

    def line_is_due(self) -> bool:
        """Return whether so much time has passed that a line should be printed."""
        due = time.monotonic() - self._last_line > LINE_SECONDS
        if due:
            self._last_line = time.monotonic()
        return due


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def stopped(folder: Path) -> None:
    """Say that a run was interrupted, and how it goes on."""
    click.echo(f"artpack: stopped; {folder} holds the state, --resume goes on from it", err=True)


def trained(folder: Path, config: ModelConfig, result: Result, *, as_json: bool) -> None:
    """Print what a run ended with."""
    scores = {
        one.name: {
            "loss_nats": one.score.loss_nats.value,
            "bits_per_byte": one.score.bits_per_byte.value,
        }
        for one in result.scored
    }
    if as_json:
        print_json({"folder": str(folder), "kept": result.kept.name, "scores": scores})
        return
    score = result.kept.score
    click.echo(
        f"{folder}: {parameter_count(config):,} parameters, {len(result.log):,} steps,"
        f" {result.seconds:.0f} s"
    )
    for name, numbers in scores.items():
        kept = " (kept)" if name == result.kept.name else ""
        click.echo(
            f"{name}: {numbers['bits_per_byte']:.4f} bits per byte,"
            f" {numbers['loss_nats']:.4f} nats a token{kept}"
        )
    click.echo(f"scored: {score.coverage.scored:,} tokens, {score.bytes:,} bytes of held-out text")
