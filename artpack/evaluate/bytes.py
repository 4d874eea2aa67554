"""
How many bytes of text each token stands for: the denominator of bits per byte.

Published scores went wrong here by 17% (a space counted twice) and by 1.09 times
(case operators counted as text), so the count comes with a proof:
:func:`check_bytes` decodes the text and counts again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from artpack.errors import UsageError
from artpack.evaluate.documents import document_spans
from artpack.evaluate.shards import Tokens

SPACE_MARK = "\u2581"


@dataclass(frozen=True, eq=False)
class ByteTable:
    """
    Bytes of every token, as far as the token and its predecessor tell.

    Attributes:
        base: Bytes of the piece without its leading space mark, int64, shape (V,).
        leading_space: Whether the piece starts with the mark, bool, shape (V,).
        boundary: Whether the id is none of the text (control, unknown, unused), so
            that a space mark right after it stands for nothing, bool, shape (V,).

    Source: the byte tables of all five seed systems.
    """

    base: NDArray[np.int64]
    leading_space: NDArray[np.bool_]
    boundary: NDArray[np.bool_]

    @classmethod
    def from_tokenizer(
        cls, tokenizer: SentencePieceProcessor, *, vocab_size: int | None = None
    ) -> Self:
        """
        Tabulate a SentencePiece model.

        Args:
            tokenizer: The model.
            vocab_size: Ids of the network; those beyond the tokenizer are boundaries
                of 0 bytes. The tokenizer's own size if None.

        Returns:
            The table: byte pieces 1 byte, others the UTF-8 length without one
            leading U+2581, control, unknown and unused ids 0 bytes and a boundary.

        """
        size = max(tokenizer.vocab_size(), vocab_size or 0)
        base = np.zeros(size, np.int64)
        leading_space = np.zeros(size, np.bool_)
        boundary = np.ones(size, np.bool_)
        for i in range(tokenizer.vocab_size()):
            if tokenizer.is_control(i) or tokenizer.is_unknown(i) or tokenizer.is_unused(i):
                continue
            boundary[i] = False
            piece = tokenizer.id_to_piece(i)
            leading_space[i] = piece.startswith(SPACE_MARK)
            text = piece.removeprefix(SPACE_MARK)
            base[i] = 1 if tokenizer.is_byte(i) else len(text.encode())
        return cls(base, leading_space, boundary)

    def count(self, ids: Tokens) -> NDArray[np.int64]:
        """
        Count the bytes that each token of a stream stands for.

        Args:
            ids: The stream, shape (N,).

        Returns:
            Bytes per token, int64, shape (N,). Nothing comes before the first token,
            so its space mark counts as after a boundary.

        Raises:
            UsageError: An id is beyond the table.

        """
        if ids.size and int(ids.max()) >= self.base.size:
            raise UsageError(
                f"token id {ids.max()} is beyond the tokenizer's {self.base.size} pieces; "
                "give the tokenizer that these tokens were made with"
            )
        counts = self.base[ids]
        counts[1:] += self.leading_space[ids[1:]] & ~self.boundary[ids[:-1]]
        return counts


@dataclass(frozen=True)
class ByteMismatch:
    """
    A document whose tokens stand for another number of bytes than its text has.

    Attributes:
        document: Its number, from 0.
        start: Index of its first token in the stream.
        counted: Bytes by the count.
        decoded: UTF-8 bytes of the decoded text.
        text: The first characters of it.
    """

    document: int
    start: int
    counted: int
    decoded: int
    text: str


@dataclass(frozen=True)
class ByteCheck:
    """
    The outcome of counting bytes twice.

    Attributes:
        documents: How many were decoded.
        counted: Bytes by the count, all documents together.
        decoded: UTF-8 bytes of the decoded text.
        mismatches: How many documents disagree.
        first: The first of them, None if all agree.
    """

    documents: int
    counted: int
    decoded: int
    mismatches: int
    first: ByteMismatch | None


def check_bytes(
    ids: Tokens,
    byte_counts: NDArray[np.int64],
    tokenizer: SentencePieceProcessor,
    *,
    bos_id: int = 1,
    restore: Callable[[str], str] = str,
) -> ByteCheck:
    """
    Decode every document, count its UTF-8 bytes and compare with the count per token.

    A stream cut inside a character must disagree in its last document, because a
    decoder writes U+FFFD, of 3 bytes, for half a character.

    Args:
        ids: The stream, shape (N,).
        byte_counts: Bytes per token, int64, shape (N,): from a table or a sidecar.
        tokenizer: The model that the tokens were made with.
        bos_id: The id that starts a document.
        restore: From decoded to original text, such as CaseOps decoding.

    Returns:
        Both totals and the first document in which they differ.

    Raises:
        UsageError: There is not one count per token.

    """
    if ids.shape != byte_counts.shape:
        raise UsageError(f"{byte_counts.size} byte counts for {ids.size} tokens; give one each")
    counted_total = decoded_total = mismatches = 0
    first = None
    spans = document_spans(ids, bos_id)
    for number, (start, stop) in enumerate(spans):
        text = restore(tokenizer.decode(ids[start:stop].tolist()))
        counted, decoded = int(byte_counts[start:stop].sum()), len(text.encode())
        counted_total += counted
        decoded_total += decoded
        if counted != decoded:
            mismatches += 1
            first = first or ByteMismatch(number, start, counted, decoded, text[:60])
    return ByteCheck(len(spans), counted_total, decoded_total, mismatches, first)
