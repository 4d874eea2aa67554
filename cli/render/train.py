"""The output of the training commands."""

from pathlib import Path

import click

from artpack import TokenizeResult, TrainResult
from artpack.models import parameter_count

from .tables import print_json


def tokenized(result: TokenizeResult, *, as_json: bool) -> None:
    """Print what tokenize wrote."""
    if as_json:
        print_json(result.to_json())
        return
    for side, words in ((result.train, "to train on"), (result.held_out, "held out")):
        click.echo(
            f"{result.folder}: {side.tokens:,} tokens {words}, {side.bytes:,} bytes of text in"
            f" {side.documents:,} documents, {side.bytes / side.tokens:.3f} bytes a token"
        )


def stopped(folder: Path) -> None:
    """Say that a run was interrupted, and how it goes on."""
    click.echo(f"artpack: stopped; {folder} holds the state, --resume goes on from it", err=True)


def trained(result: TrainResult, *, as_json: bool) -> None:
    """Print what a run ended with."""
    if as_json:
        print_json(result.to_json())
        return
    click.echo(
        f"{result.folder}: {parameter_count(result.config):,} parameters,"
        f" {len(result.log):,} steps, {result.seconds:.0f} s"
    )
    for one in result.scored:
        kept = " (kept)" if one.name == result.kept.name else ""
        click.echo(
            f"{one.name}: {one.score.bits_per_byte.value:.4f} bits per byte,"
            f" {one.score.loss_nats.value:.4f} nats per token{kept}"
        )
    score = result.score
    click.echo(f"scored: {score.coverage.scored:,} tokens, {score.bytes:,} bytes of held-out text")
