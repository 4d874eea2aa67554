"""Tokens to score, wherever they are, with the bytes that they stand for."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from artpack.api.tokens import token_pattern
from artpack.errors import UsageError
from artpack.evaluation.tokens.byte_check import ByteCheck, check_bytes, find_losses
from artpack.evaluation.tokens.documents import DOCUMENT_SEPARATOR
from artpack.evaluation.tokens.hugging_face import check_text, tokenize_documents
from artpack.evaluation.tokens.shards import find_shards
from artpack.evaluation.tokens.stream import (
    Stream,
    is_text,
    read_stream,
    read_text,
    read_tokenizer,
    stream_of,
)
from artpack.runners.hugging_face_files import read_tokenizer as read_own_tokenizer

PathLike: TypeAlias = str | os.PathLike[str]
ScoredTokens: TypeAlias = PathLike | Stream | NDArray[np.integer]
"""Shards, ``.npy`` arrays or a ``.txt`` file; an array of ids (tokens,), or with its bytes."""

Tokenizer: TypeAlias = PathLike | SentencePieceProcessor
"""A SentencePiece model, or its file."""

Sidecar: TypeAlias = PathLike | NDArray[np.integer]
"""Shards of bytes per token, or an array (tokens,)."""


@dataclass(frozen=True, eq=False)
class EvalTokens:
    """
    A stream that is ready to be scored.

    Attributes:
        stream: The tokens and their bytes.
        tokenizer: The model that they were made with, if it is known.
        sha256: Hashes of the files that were read.
        notes: What is to be known of the bytes, one line each.
        texts: The documents that the tokens were made of; None if they were tokens already.
        check: Outcome of counting the bytes twice, if that was asked for.
    """

    stream: Stream
    tokenizer: SentencePieceProcessor | None
    sha256: dict[str, str]
    notes: tuple[str, ...]
    texts: Sequence[str] | None = None
    check: ByteCheck | None = None

    @property
    def sound(self) -> bool:
        """Whether no check of the bytes has failed."""
        return self.check is None or self.check.sound


def read_eval_tokens(
    tokens: ScoredTokens,
    tokenizer: Tokenizer | None,
    sidecar: Sidecar | None,
    *,
    check: bool,
    faithful: bool,
) -> EvalTokens:
    """
    Read tokens and count their bytes, twice if asked to.

    Args:
        tokens: Where they are.
        tokenizer: The model that they were made with, or are to be.
        sidecar: Bytes per token, for tokens that do not tell by themselves.
        check: Decode the tokens and count again.
        faithful: Count bytes by the published rule where that is wrong.

    Returns:
        The tokens.

    Raises:
        UsageError: A file is missing or lies about itself, there is no tokenizer to count
            bytes with, or the arrays do not fit.

    """
    if isinstance(tokens, Stream) and tokenizer is None and not check:
        return EvalTokens(_array_stream(tokens, None, sidecar, faithful=faithful), None, {}, ())
    if tokenizer is None:
        raise UsageError("bytes are counted with the tokenizer: give `tokenizer`")
    file = None if isinstance(tokenizer, SentencePieceProcessor) else Path(tokenizer)
    processor = _processor(tokenizer)
    stream, files, texts = _read(tokens, processor, sidecar, faithful=faithful)
    found = None
    if check or texts is not None:
        found = check_bytes(
            stream.ids, stream.byte_counts, processor, bos_id=stream.bos_id, texts=texts
        )
    files += [] if file is None else [file]
    return EvalTokens(
        stream,
        processor,
        hash_files(files),
        tuple(_notes(tokens, stream, processor, found, counted=sidecar is not None)),
        texts,
        found if check else None,
    )


def read_model_text(tokens: ScoredTokens, files: Mapping[str, bytes], *, check: bool) -> EvalTokens:
    """
    Tokenize a text with the tokenizer that a model of transformers comes with.

    Args:
        tokens: A text.
        files: Of the model.
        check: Report the comparison of the text with what its tokens decode to.

    Returns:
        The tokens.

    Raises:
        UsageError: The tokens are no text, or there is no tokenizer in the files.

    """
    if not isinstance(tokens, str | os.PathLike) or not is_text(os.fspath(tokens)):
        what = f"{tokens}: " if isinstance(tokens, str | os.PathLike) else "`tokens`: "
        raise UsageError(
            f"{what}this model is scored on plain text, a file that ends in .txt; or give"
            " the `tokenizer` of these tokens"
        )
    text, own = read_text(Path(tokens)), read_own_tokenizer(files)
    stream = tokenize_documents(text, own)
    found = check_text(stream, text, own)
    return EvalTokens(
        stream,
        None,
        hash_files([Path(tokens)]),
        (text_note(tokens, stream), *found.losses.lines()),
        check=found if check else None,
    )


def _processor(tokenizer: Tokenizer) -> SentencePieceProcessor:
    if isinstance(tokenizer, SentencePieceProcessor):
        return tokenizer
    return read_tokenizer(tokenizer)


def _read(
    tokens: ScoredTokens,
    tokenizer: SentencePieceProcessor,
    sidecar: Sidecar | None,
    *,
    faithful: bool,
) -> tuple[Stream, list[Path], list[str] | None]:
    """Return the stream, the files that it was read from, and its documents if it was text."""
    if isinstance(tokens, Stream | np.ndarray):
        return _array_stream(tokens, tokenizer, sidecar, faithful=faithful), [], None
    if isinstance(sidecar, np.ndarray):
        raise UsageError("an array as `sidecar` goes with an array of `tokens`")
    pattern, bytes_pattern = token_pattern(tokens), None if sidecar is None else os.fspath(sidecar)
    stream = read_stream(pattern, tokenizer, sidecar=bytes_pattern, faithful=faithful)
    if is_text(pattern):
        return stream, [Path(pattern)], read_text(Path(pattern)).split(DOCUMENT_SEPARATOR)
    files = find_shards(pattern)
    files += find_shards(bytes_pattern, sidecars=True) if bytes_pattern else []
    return stream, files, None


def _array_stream(
    tokens: Stream | NDArray[np.integer],
    tokenizer: SentencePieceProcessor | None,
    sidecar: Sidecar | None,
    *,
    faithful: bool,
) -> Stream:
    if isinstance(tokens, Stream):
        if sidecar is not None:
            raise UsageError("`tokens` come with their bytes: leave `sidecar` out")
        _check_counts(tokens.byte_counts, tokens.ids.size, "`tokens.byte_counts`")
        return replace(tokens, ids=checked_ids(tokens.ids))
    assert tokenizer is not None
    ids = checked_ids(tokens)
    if sidecar is None:
        return stream_of(ids, tokenizer, faithful=faithful)
    if not isinstance(sidecar, np.ndarray):
        raise UsageError("with an array of `tokens`, `sidecar` is an array, too")
    _check_counts(sidecar, ids.size, "`sidecar`")
    return Stream(ids, sidecar.astype(np.int64), tokenizer.bos_id())


def checked_ids(ids: NDArray[np.integer]) -> NDArray[np.uint32]:
    """
    Check that an array holds the ids of a stream.

    Args:
        ids: The array.

    Returns:
        The ids, shape (tokens,).

    Raises:
        UsageError: It does not, or has fewer than two.

    """
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise UsageError(
            f"`tokens`: an array of ids (tokens,) is needed, got {ids.dtype}{ids.shape}"
        )
    if ids.size < 2:
        raise UsageError("`tokens`: nothing to score: there are fewer than two")
    if not 0 <= int(ids.min()) <= int(ids.max()) < 1 << 32:
        raise UsageError(f"`tokens`: ids run from {ids.min()} to {ids.max()}")
    return ids.astype(np.uint32)


def _check_counts(counts: NDArray[np.integer], size: int, name: str) -> None:
    if counts.shape != (size,) or counts.dtype.kind not in "iu":
        raise UsageError(f"{name}: {size} integers are needed, got {counts.dtype}{counts.shape}")
    if counts.min(initial=0) < 0:
        raise UsageError(f"{name}: bytes are 0 or more, got {counts.min()}")


def _notes(
    tokens: ScoredTokens,
    stream: Stream,
    tokenizer: SentencePieceProcessor,
    check: ByteCheck | None,
    *,
    counted: bool,
) -> Iterator[str]:
    """Yield what is to be known of a stream's bytes."""
    if isinstance(tokens, str | os.PathLike) and is_text(os.fspath(tokens)):
        yield text_note(tokens, stream)
    if check is not None and check.mismatches:
        yield f"{check.counted:,} bytes are counted, the tokens decode to {check.decoded:,}"
    if check is None and counted:
        yield "bytes are those of the sidecar as it is; `check_bytes` compares them with the text"
    yield from (find_losses(stream.ids, tokenizer) if check is None else check.losses).lines()


def text_note(path: PathLike, stream: Stream) -> str:
    """
    Say how many bytes a text has and how many of them are counted.

    Args:
        path: The text.
        stream: Its tokens.

    Returns:
        One line.

    """
    text_bytes = sum(len(part) for part in Path(path).read_bytes().split(b"\0"))
    counted = int(stream.byte_counts.sum())
    return f"{path} has {text_bytes:,} bytes of text, its tokens stand for {counted:,}"


def hash_files(paths: Sequence[Path]) -> dict[str, str]:
    """
    Hash files.

    Args:
        paths: The files.

    Returns:
        Path to SHA-256 in hexadecimal.

    """
    hashes = {}
    for path in paths:
        with path.open("rb") as file:
            hashes[str(path)] = file_digest(file, "sha256").hexdigest()
    return hashes
