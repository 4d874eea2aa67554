"""The job of ``artpack.tokenize``: text into a tokenizer and token shards."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artpack.evaluation.tokens.stream import read_text
from artpack.training.tokenize import (
    SHARD_TOKENS,
    check_empty,
    split_documents,
    train_tokenizer,
    write_dataset,
)


@dataclass(frozen=True)
class Side:
    """
    Documents of one side of a dataset.

    Attributes:
        documents: How many there are.
        tokens: Their tokens.
        bytes: Their bytes of text.
    """

    documents: int
    tokens: int
    bytes: int


@dataclass(frozen=True)
class TokenizeResult:
    """
    A dataset that was written.

    Attributes:
        folder: Where it is.
        train: What is there to train on.
        held_out: What is held out.
    """

    folder: Path
    train: Side
    held_out: Side

    def to_json(self) -> dict[str, Any]:
        """Return it as data that JSON can carry."""
        found: dict[str, Any] = {
            "folder": str(self.folder),
            "train_documents": self.train.documents,
            "val_documents": self.held_out.documents,
        }
        for name, side in (("train", self.train), ("val", self.held_out)):
            found |= {f"{name}_tokens": side.tokens, f"{name}_bytes": side.bytes}
        return found


def tokenize(
    texts: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    vocab_size: int = 1024,
    tokenizer: str | os.PathLike[str] | None = None,
    caseops: bool = False,
    held_out: float = 0.02,
    shard_tokens: int = SHARD_TOKENS,
) -> TokenizeResult:
    """
    Train a tokenizer on texts and write them as token shards.

    Args:
        texts: Files of UTF-8 with NUL between their documents; one without is one document.
        output: The folder that they go into; made if it is missing.
        vocab_size: Pieces of the tokenizer.
        tokenizer: Use this SentencePiece model instead of training one.
        caseops: Train it on CaseOps text, as PR 1934 does.
        held_out: Share of the documents that is held out, chosen by hash.
        shard_tokens: Tokens a shard.

    Returns:
        How much was written.

    Raises:
        UsageError: A text cannot be read, the folder has shards already, or the documents
            are too few.
        OSError: The folder cannot be written to.

    """
    folder = Path(output)
    model = None if tokenizer is None else Path(tokenizer).read_bytes()
    check_empty(folder, model)
    split = split_documents(map(read_text, map(Path, texts)), held_out_share=held_out)
    if model is None:
        model = train_tokenizer(split.train, vocab_size, case_ops=caseops)
    sizes = write_dataset(folder, split, model, shard_tokens=shard_tokens)
    return TokenizeResult(
        folder,
        Side(len(split.train), sizes["train_tokens"], sizes["train_bytes"]),
        Side(len(split.held_out), sizes["val_tokens"], sizes["val_bytes"]),
    )
