"""
What the script of a submission does: decode the artifact, build its model, score the tokens.

The linker cuts this out of the package, with what it needs of models and scoring, so the
script computes what ``artpack eval`` does. Texts of errors are those of this package.
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor

from artpack.errors import ArtpackError
from artpack.evaluation.scoring.score import score
from artpack.evaluation.scoring.summary import Score
from artpack.evaluation.tokens.byte_counts import count_bytes
from artpack.evaluation.tokens.shards import read_sidecar, read_tokens
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.windows.placements import place
from artpack.evaluation.windows.plan import share_rows
from artpack.models.config import ModelConfig
from artpack.models.gpt import GPT
from artpack.runners.settings import Settings
from artpack.submission.record import Windows
from artpack.system.ranks import joined

Load = Callable[..., Mapping[str, torch.Tensor]]
"""The decoder: from a path to tensors."""


Measure = Callable[[GPT, Stream, Settings], Score]
"""What scores a model on tokens."""


def main(load: Load, artifact: Path, config: ModelConfig, windows: Windows) -> None:
    """
    Score an artifact as the command line says, and print the score as JSON.

    Args:
        load: Its decoder.
        artifact: The file.
        config: Its model.
        windows: What of the tokens is run and scored.

    """

    def measure(model: GPT, stream: Stream, settings: Settings) -> Score:
        plan = place(
            windows.placement,
            stream.ids,
            windows.window_tokens,
            windows.stride_tokens or windows.window_tokens,
            bos_id=stream.bos_id,
        )
        return score(
            model,
            stream.ids,
            share_rows(plan),
            stream.byte_counts,
            settings=settings,
            bos_id=stream.bos_id,
        )

    run(load, artifact, config, windows.limit_tokens, measure)


def run(
    load: Load, artifact: Path, config: ModelConfig, limit_tokens: int | None, measure: Measure
) -> None:
    """
    Read what the command line names, score it, and print the score as JSON.

    Args:
        load: The artifact's decoder.
        artifact: The file.
        config: Its model.
        limit_tokens: The first so many tokens are scored; None for all.
        measure: How.

    """
    given = read_arguments()
    try:
        stream = read_stream(given, config).first(limit_tokens)
        with joined(given.device) as device:
            model = build(config, load(artifact, torch=True), device)
            found = measure(model, stream, Settings(device))
    except (ArtpackError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps(summarize(found)))  # noqa: T201 - a script of its own


def read_arguments() -> Namespace:
    """Return what the command line says."""
    parser = ArgumentParser()
    for name in ("--tokens", "--tokenizer"):
        parser.add_argument(name, required=True)
    parser.add_argument("--sidecar")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def read_stream(given: Namespace, config: ModelConfig) -> Stream:
    """
    Read tokens, and count the bytes that they stand for.

    Args:
        given: Files of tokens, of the tokenizer, and perhaps of bytes.
        config: The model; every id must be below its vocabulary.

    Returns:
        The stream.

    """
    tokenizer = SentencePieceProcessor(model_proto=Path(given.tokenizer).read_bytes())
    ids = read_tokens(given.tokens, vocab_size=config.vocab_size)
    if given.sidecar:
        counts = read_sidecar(given.sidecar, count=ids.size)
    else:
        counts = count_bytes(ids, tokenizer)
    return Stream(ids, counts.astype(np.int64), tokenizer.bos_id())


def build(config: ModelConfig, tensors: Mapping[str, torch.Tensor], device: str) -> GPT:
    """
    Build a model.

    Args:
        config: The model.
        tensors: Its weights.
        device: Where to.

    Returns:
        The model, in float32 and evaluation mode.

    """
    with torch.device("meta"):
        model = GPT(config)
    own = {name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}
    model.load_state_dict(own, assign=True)
    return model.eval().to(device)


def summarize(found: Score) -> dict[str, Any]:
    """
    Return what the script prints.

    Args:
        found: The score.

    Returns:
        Loss and bits per byte with their standard errors, and what they were taken of.

    """
    return {
        "val_loss": found.loss_nats.value,
        "val_loss_stderr": found.loss_nats.stderr,
        "val_bpb": found.bits_per_byte.value,
        "val_bpb_stderr": found.bits_per_byte.stderr,
        "tokens": found.coverage.scored,
        "bytes": found.bytes,
        "documents": found.documents,
    }
