"""
The count of bytes, checked: every document is decoded and its bytes are counted again.

Token by token, because a score takes a part of the tokens: bytes that were moved inside
a document would change it, and no sum of the document.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from artpack.errors import UsageError
from artpack.evaluation.tokens.decoding import Decoded, Decoder, lost_tokens, lowers_case
from artpack.evaluation.tokens.documents import DOCUMENT_SEPARATOR, document_spans
from artpack.evaluation.tokens.shards import Tokens


@dataclass(frozen=True)
class ByteMismatch:
    """
    A document whose tokens stand for other bytes than its text has.

    Attributes:
        document: Its number, from 0.
        start: Index of its first token in the stream.
        token: Index of the first token up to which the bytes are not those of the text.
        counted: Bytes of the document by the count.
        decoded: UTF-8 bytes of the decoded text.
        text: The first characters of it.
    """

    document: int
    start: int
    token: int
    counted: int
    decoded: int
    text: str


@dataclass(frozen=True)
class Losses:
    """
    What tokens do not give back of the text that they were made of.

    Attributes:
        tokens: How many are unknown pieces, or spaces for which the tokenizer has no piece.
        capitals: Whether the tokenizer turns them into small letters.
        documents: How many decode to another text than the one given, white space aside,
            or to none, because case operators are misplaced.
    """

    tokens: int = 0
    capitals: bool = False
    documents: int = 0

    def lines(self) -> list[str]:
        """Say what is lost."""
        said = {
            f"{self.tokens:,} tokens do not give their text back:"
            " they are unknown pieces, or spaces without a piece": self.tokens,
            "capitals are lost: the tokenizer turns them into small letters": self.capitals,
            f"{self.documents:,} documents are lost:"
            " their tokens decode to another text, or to none": self.documents,
        }
        return [line for line, true in said.items() if true]


def find_losses(ids: Tokens, tokenizer: SentencePieceProcessor) -> Losses:
    """
    Find out what can be told without the text.

    Args:
        ids: The stream, shape (N,).
        tokenizer: The model that the tokens were made with.

    Returns:
        What its tokens do not give back.

    """
    return Losses(lost_tokens(ids, tokenizer), lowers_case(tokenizer))


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
        losses: What the tokens do not give back.
        sha256: Of the decoded text, documents parted by NUL.
    """

    documents: int
    counted: int
    decoded: int
    mismatches: int
    first: ByteMismatch | None
    losses: Losses
    sha256: str

    @property
    def sound(self) -> bool:
        """Whether all bytes are those of a text that the tokens give back."""
        return not self.mismatches and self.losses == Losses()


def check_bytes(
    ids: Tokens,
    byte_counts: NDArray[np.int64],
    tokenizer: SentencePieceProcessor,
    *,
    bos_id: int = 1,
    texts: Sequence[str] | None = None,
) -> ByteCheck:
    """
    Decode every document, count its UTF-8 bytes and compare with the count, token by token.

    Inside a character that is spelled in bytes, the count may give each token its own or
    the last one all of them. A stream cut inside a character must disagree in its last
    document, because a decoder writes U+FFFD, of 3 bytes, for half a character.

    Args:
        ids: The stream, shape (N,).
        byte_counts: Bytes per token, int64, shape (N,): from a table or a sidecar.
        tokenizer: The model that the tokens were made with; CaseOps operators are undone
            if it knows them.
        bos_id: The id that starts a document.
        texts: The documents that the tokens were made of, if they are known.

    Returns:
        Both totals, the first document in which they differ, and what is lost.

    Raises:
        UsageError: There is not one count per token, or the tokens cannot be decoded.

    """
    if ids.shape != byte_counts.shape:
        raise UsageError(f"{byte_counts.size} byte counts for {ids.size} tokens; give one each")
    decode, whole = Decoder(tokenizer), sha256()
    decoded_total = mismatches = changed = 0
    first = None
    spans = document_spans(ids, bos_id)
    for number, (start, stop) in enumerate(spans):
        decoded, counts = decode(ids[start:stop]), byte_counts[start:stop]
        decoded_total += len(decoded.text.encode())
        whole.update((DOCUMENT_SEPARATOR * (number > 0) + decoded.text).encode())
        token = _first_wrong(decoded, counts)
        if token is not None:
            mismatches += 1
            first = first or _mismatch(number, start, token, decoded, counts)
        given = decoded.text if texts is None else "".join(texts[number : number + 1])
        changed += not (decoded.intact and same_text(given, decoded.text))
    missing = 0 if texts is None else max(len(texts) - len(spans), 0)
    return ByteCheck(
        documents=len(spans),
        counted=int(byte_counts.sum()),
        decoded=decoded_total,
        mismatches=mismatches,
        first=first,
        losses=replace(find_losses(ids, tokenizer), documents=changed + missing),
        sha256=whole.hexdigest(),
    )


def same_text(given: str, decoded: str) -> bool:
    """
    Say whether a text came back, but for white space that tokenizers collapse.

    Args:
        given: The text that was tokenized.
        decoded: What its tokens decode to.

    Returns:
        Whether their words are the same.

    """
    return given.split() == decoded.split()


def _first_wrong(decoded: Decoded, counts: NDArray[np.int64]) -> int | None:
    """Return the first token up to which the count is not what was decoded."""
    reached = np.cumsum(counts)
    right = (decoded.least <= reached) & (reached <= decoded.most)
    right[-1] = reached[-1] == decoded.least[-1]
    return None if right.all() else int(np.argmin(right))


def _mismatch(
    number: int, start: int, token: int, decoded: Decoded, counts: NDArray[np.int64]
) -> ByteMismatch:
    return ByteMismatch(
        document=number,
        start=start,
        token=start + token,
        counted=int(counts.sum()),
        decoded=len(decoded.text.encode()),
        text=decoded.text[:60],
    )
