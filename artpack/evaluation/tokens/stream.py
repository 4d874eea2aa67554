"""A token stream together with the bytes that its tokens stand for."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from artpack.errors import UsageError
from artpack.evaluation.tokens import caseops
from artpack.evaluation.tokens.byte_counts import count_bytes
from artpack.evaluation.tokens.documents import DOCUMENT_SEPARATOR
from artpack.evaluation.tokens.shards import Tokens, read_sidecar, read_tokens


@dataclass(frozen=True, eq=False)
class Stream:
    """
    What is to be scored.

    Attributes:
        ids: Token ids, shape (N,); documents start with BOS.
        byte_counts: Bytes of text that each token stands for, int64, shape (N,).
        bos_id: The id that starts a document.
    """

    ids: Tokens
    byte_counts: NDArray[np.int64]
    bos_id: int = 1

    def first(self, targets: int | None) -> "Stream":
        """Return the tokens that the first so many targets need; all of them for None."""
        end = None if targets is None else targets + 1
        return replace(self, ids=self.ids[:end], byte_counts=self.byte_counts[:end])


def read_stream(
    pattern: str,
    tokenizer: SentencePieceProcessor,
    *,
    sidecar: str | None = None,
    faithful: bool = False,
) -> Stream:
    """
    Read tokens and count their bytes.

    Args:
        pattern: Shards, ``.npy`` arrays, or one ``.txt`` file of UTF-8 text with its
            documents separated by NUL.
        tokenizer: The model that the tokens were made with, or are to be.
        sidecar: Shards of bytes per token, for tokens that do not tell by themselves.
        faithful: Count bytes by the published rule where that is wrong.

    Returns:
        The stream.

    Raises:
        UsageError: A file is missing or lies about itself, an id is beyond the tokenizer,
            text is not UTF-8 or has a sidecar, or CaseOps tokens come without one.

    """
    if is_text(pattern):
        if sidecar is not None:
            raise UsageError(f"{pattern}: text tells its bytes itself; leave the sidecar out")
        return tokenize_text(read_text(Path(pattern)), tokenizer, faithful=faithful)
    ids = read_tokens(pattern, vocab_size=tokenizer.vocab_size())
    if sidecar is not None:
        return Stream(ids, read_sidecar(sidecar, count=ids.size), tokenizer.bos_id())
    return stream_of(ids, tokenizer, name=pattern, faithful=faithful)


def stream_of(
    ids: Tokens,
    tokenizer: SentencePieceProcessor,
    *,
    name: str = "`tokens`",
    faithful: bool = False,
) -> Stream:
    """
    Count the bytes of tokens that are there already.

    Args:
        ids: The stream, shape (N,).
        tokenizer: The model that they were made with.
        name: What to call them in messages.
        faithful: Count bytes by the published rule where that is wrong.

    Returns:
        The stream.

    Raises:
        UsageError: An id is beyond the tokenizer, or these are CaseOps tokens.

    """
    if caseops.knows_operators(tokenizer):
        raise UsageError(
            f"{name}: CaseOps tokens do not tell how many bytes they stand for; "
            "give their byte sidecar too"
        )
    return Stream(ids, count_bytes(ids, tokenizer, faithful=faithful), tokenizer.bos_id())


def tokenize_text(
    text: str, tokenizer: SentencePieceProcessor, *, faithful: bool = False
) -> Stream:
    """
    Turn text into the stream that published shards hold.

    Args:
        text: Documents, separated by NUL.
        tokenizer: A model with a BOS id; one that knows the CaseOps operators gets
            CaseOps text.
        faithful: Count bytes by the published rule where that is wrong.

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
        ids, byte_counts = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Stream(ids, byte_counts, bos)
    pieces = tokenizer.encode(documents, out_type=int)
    flat = np.array([i for document in pieces for i in (bos, *document)], np.uint32)
    return Stream(flat, count_bytes(flat, tokenizer, faithful=faithful), bos)


def is_text(pattern: str) -> bool:
    """Return whether a pattern names plain text rather than tokens."""
    return pattern.endswith(".txt")


def read_text(path: Path) -> str:
    """
    Read plain text.

    Args:
        path: The file, UTF-8.

    Returns:
        Its text as it is, line ends included.

    Raises:
        UsageError: It cannot be read or is not UTF-8.

    """
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}") from error


def read_tokenizer(path: str | os.PathLike[str]) -> SentencePieceProcessor:
    """
    Read a SentencePiece model.

    Args:
        path: The file.

    Returns:
        The tokenizer.

    Raises:
        UsageError: It is something else.
        OSError: It cannot be read.

    """
    try:
        return SentencePieceProcessor(model_proto=Path(path).read_bytes())
    except (RuntimeError, ValueError) as error:  # whose own message may be no text
        raise UsageError(f"{path}: not a SentencePiece model") from error
