"""
Bytes of text that each token stands for: the denominator of bits per byte.

Published scores went wrong here by 17% (a space counted twice) and by 1.09 times
(case operators counted as text), so the count can be checked:
:mod:`~artpack.evaluation.tokens.byte_check` decodes the text and counts again.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from artpack.errors import UsageError
from artpack.evaluation.tokens.decoding import SPACE_MARK, Spaces, spelled_marks
from artpack.evaluation.tokens.shards import Tokens


@dataclass(frozen=True, eq=False)
class ByteTable:
    """
    Bytes of every token, as published systems count them.

    Right where a space mark only ever leads a piece; :func:`count_bytes` mends the rest.

    Attributes:
        base: Bytes of the piece without its leading space mark, int64, shape (V,).
        leading_space: Whether the piece starts with the mark, bool, shape (V,).
        boundary: Whether the id is none of the text (control, unknown, unused), so
            that a space mark right after it stands for nothing, bool, shape (V,).

    Source: the byte tables of all five published systems.
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


def count_bytes(
    ids: Tokens, tokenizer: SentencePieceProcessor, *, faithful: bool = False
) -> NDArray[np.int64]:
    """
    Count the bytes of text that each token of a stream stands for.

    Every space is one byte: also inside a piece, at its end, and where its mark is
    spelled in three byte pieces. What a tokenizer adds at the ends of a text is none.

    Args:
        ids: The stream, shape (N,).
        tokenizer: The model that the tokens were made with.
        faithful: Keep the published rule, :class:`ByteTable`, which counts three bytes
            for such a space.

    Returns:
        Bytes per token, int64, shape (N,).

    Raises:
        UsageError: An id is beyond the tokenizer.

    """
    table = ByteTable.from_tokenizer(tokenizer)
    counts = table.count(ids)
    return counts if faithful else _mended(counts, ids, table, tokenizer)


def _mended(
    counts: NDArray[np.int64], ids: Tokens, table: ByteTable, tokenizer: SentencePieceProcessor
) -> NDArray[np.int64]:
    spaces, edge = Spaces.of(tokenizer), table.boundary[ids]
    opens, closes = np.append(True, edge[:-1]), np.append(edge[1:], True)
    pieces = [tokenizer.id_to_piece(i) for i in range(tokenizer.vocab_size())]
    inner = np.array([piece[1:].count(SPACE_MARK) for piece in pieces])
    counts = counts - np.where(edge, 0, inner[ids]) * (len(SPACE_MARK.encode()) - 1)
    if not spaces.opening:
        counts += table.leading_space[ids] & opens
    if spaces.closing:
        ends = np.array([piece.endswith(SPACE_MARK) for piece in pieces])
        counts -= ends[ids] & closes & (counts > 0)
    start = spelled_marks(ids, tokenizer)
    counts[start] = counts[start + 1] = 0
    counts[start + 2] = ~(opens[start] & spaces.opening) & ~(closes[start + 2] & spaces.closing)
    return counts
