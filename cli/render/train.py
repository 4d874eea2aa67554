"""The output of the training commands."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import artpack

from .plot import draw_curves
from .tables import show

CURVE_POINTS = 100


def tokenized(result: "artpack.TokenizeResult", *, as_json: bool) -> None:
    """Print what tokenize wrote."""
    sides = ((result.train, "to train on"), (result.held_out, "held out"))
    lines = [
        f"{result.folder}: {side.tokens:,} tokens {words}, {side.bytes:,} bytes of text in"
        f" {side.documents:,} documents, {side.bytes / side.tokens:.3f} bytes a token"
        for side, words in sides
    ]
    show(result.to_json(), lines, as_json=as_json)


def stopped(folder: Path) -> None:
    """Say that a run was interrupted, and how it goes on."""
    click.echo(f"artpack: stopped; {folder} holds the state, --resume goes on from it", err=True)


def trained(result: "artpack.TrainResult", *, as_json: bool) -> None:
    """Print what a run ended with."""
    show(result.to_json(), _lines(result), as_json=as_json)


def _lines(result: "artpack.TrainResult") -> Iterator[str]:
    from artpack.models import parameter_count

    yield (
        f"{result.folder}: {parameter_count(result.config):,} parameters,"
        f" {len(result.log):,} steps, {result.seconds:.0f} s"
    )
    for one in result.scored:
        kept = " (kept)" if one.name == result.kept.name else ""
        yield (
            f"{one.name}: {one.score.bits_per_byte.value:.4f} bits per byte,"
            f" {one.score.loss_nats.value:.4f} nats per token{kept}"
        )
    score = result.score
    if result.packed is not None:
        yield (
            f"{result.packed.artifact}: {result.packed.size_bytes:,} bytes,"
            f" {result.packed.score.bits_per_byte.value:.4f} bits per byte"
        )
    yield f"scored: {score.coverage.scored:,} tokens, {score.bytes:,} bytes of held-out text"


def draw(path: Path, log: Sequence[Mapping[str, Any]]) -> None:
    """Draw the loss, each point the mean of a hundredth of the run."""
    span = max(1, len(log) // CURVE_POINTS)
    parts = [log[start : start + span] for start in range(0, len(log), span)]
    points = [(p[-1]["step"], sum(row["loss"] for row in p) / len(p)) for p in parts]
    draw_curves(path, {"training": points}, x_label="step", y_label="loss, nats per token")
