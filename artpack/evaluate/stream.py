"""A token stream together with the bytes that its tokens stand for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from artpack.errors import UsageError
from artpack.evaluate import caseops
from artpack.evaluate.bytes import ByteTable
from artpack.evaluate.shards import Tokens, read_sidecar, read_tokens

DOCUMENT_SEPARATOR = "\0"


@dataclass(frozen=True, eq=False)
class Stream:
    """
    What is to be scored.

    Attributes:
        ids: Token ids, shape (N,); documents start with BOS.
        byte_counts: Bytes of text that each token stands for, int64, shape (N,).
    """

    ids: Tokens
    byte_counts: NDArray[np.int64]


def read_stream(
    pattern: str, tokenizer: SentencePieceProcessor, *, sidecar: str | None = None
) -> Stream:
    """
    Read tokens and count their bytes.

    Args:
        pattern: Shards, ``.npy`` arrays, or one ``.txt`` file of UTF-8 text with its
            documents separated by NUL.
        tokenizer: The model that the tokens were made with, or are to be.
        sidecar: Shards of bytes per token, for tokens that do not tell by themselves.

    Returns:
        The stream.

    Raises:
        UsageError: A file is missing or lies about itself, an id is beyond the tokenizer,
            text is not UTF-8, or CaseOps tokens come without a sidecar.

    """
    if pattern.endswith(".txt"):
        return _read_text(Path(pattern), tokenizer)
    ids = read_tokens(pattern, vocab_size=tokenizer.vocab_size())
    if sidecar is not None:
        return Stream(ids, read_sidecar(sidecar, count=ids.size))
    if caseops.knows_operators(tokenizer):
        raise UsageError(
            f"{pattern}: CaseOps tokens do not tell how many bytes they stand for; "
            "give their byte sidecar too"
        )
    return Stream(ids, ByteTable.from_tokenizer(tokenizer).count(ids))


def tokenize_text(text: str, tokenizer: SentencePieceProcessor) -> Stream:
    """
    Turn text into the stream that the seeds' shards hold.

    Args:
        text: Documents, separated by NUL.
        tokenizer: A model with a BOS id; one that knows the CaseOps operators gets
            CaseOps text.

    Returns:
        Each document's BOS and tokens, uint32, no EOS, and their byte counts.

    Raises:
        UsageError: The tokenizer has no BOS.

    """
    bos = tokenizer.bos_id()
    if bos < 0:
        raise UsageError("tokenizer has no BOS id to part documents by; give one that has")
    documents = text.split(DOCUMENT_SEPARATOR)
    if caseops.knows_operators(tokenizer):
        parts = [caseops.tokenize(document, tokenizer) for document in documents]
        return Stream(*(np.concatenate(part) for part in zip(*parts, strict=True)))
    pieces = tokenizer.encode(documents, out_type=int)
    ids = np.array([i for document in pieces for i in (bos, *document)], np.uint32)
    return Stream(ids, ByteTable.from_tokenizer(tokenizer).count(ids))


def _read_text(path: Path, tokenizer: SentencePieceProcessor) -> Stream:
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}") from error
    return tokenize_text(text, tokenizer)
