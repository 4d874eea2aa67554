"""
Decoded streams, and how far into the text each token reaches.

It asks the tokenizer itself, piece by piece, and knows nothing of the table that
:mod:`~artpack.evaluation.tokens.byte_counts` counts with, so that the two can be compared.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from artpack.errors import UsageError
from artpack.evaluation.tokens import caseops
from artpack.evaluation.tokens.shards import Tokens

SPACE_MARK = "\u2581"


@dataclass(frozen=True)
class Spaces:
    """
    What a tokenizer does to spaces at the ends of a text.

    Attributes:
        opening: A space mark that opens a text stands for nothing.
        closing: A space mark that closes a text stands for nothing.
    """

    opening: bool
    closing: bool

    @classmethod
    def of(cls, tokenizer: SentencePieceProcessor) -> "Spaces":
        """
        Find out by normalising one letter.

        Args:
            tokenizer: Any SentencePiece model.

        Returns:
            What it adds, or takes away.

        """
        alone, spaced = tokenizer.normalize("a"), tokenizer.normalize(" a")
        added = alone.startswith(SPACE_MARK)
        closing = alone.endswith(SPACE_MARK)
        return cls(added or closing or not spaced.startswith(SPACE_MARK), closing)


def lowers_case(tokenizer: SentencePieceProcessor) -> bool:
    """
    Say whether a tokenizer loses capitals.

    Args:
        tokenizer: Any SentencePiece model.

    Returns:
        Whether its normalisation turns them into small letters.

    """
    return str(tokenizer.normalize("A")).strip(SPACE_MARK) == "a"


def spelled_marks(ids: Tokens, tokenizer: SentencePieceProcessor) -> NDArray[np.int64]:
    """
    Find space marks that are spelled in three byte pieces, for want of a piece of their own.

    Args:
        ids: The stream, shape (N,).
        tokenizer: The model that the tokens were made with.

    Returns:
        Where each of them starts, int64.

    """
    pieces = [tokenizer.piece_to_id(f"<0x{byte:02X}>") for byte in SPACE_MARK.encode()]
    if not all(tokenizer.is_byte(piece) for piece in pieces):
        return np.empty(0, np.int64)
    first, second, third = pieces
    return np.flatnonzero((ids[:-2] == first) & (ids[1:-1] == second) & (ids[2:] == third))


def lost_tokens(ids: Tokens, tokenizer: SentencePieceProcessor) -> int:
    """
    Count the tokens that do not give their text back.

    Args:
        ids: The stream, shape (N,).
        tokenizer: The model that the tokens were made with.

    Returns:
        How many are unknown or unused pieces, and how many spaces are spelled in bytes.

    """
    lost = [
        tokenizer.is_unknown(i) or tokenizer.is_unused(i) for i in range(tokenizer.vocab_size())
    ]
    return int(np.array(lost)[ids].sum()) + spelled_marks(ids, tokenizer).size


@dataclass(frozen=True, eq=False)
class Decoded:
    """
    A document.

    Attributes:
        text: What it says, case operators undone.
        least: UTF-8 bytes of all characters that are complete after each token, int64,
            shape (n,).
        most: The same with the bytes so far of a character that is being spelled.
        intact: Whether the case operators can be undone; where not, they stand in the text.
    """

    text: str
    least: NDArray[np.int64]
    most: NDArray[np.int64]
    intact: bool = True


class Decoder:
    """
    Decodes documents.

    Args:
        tokenizer: The model that the tokens were made with; CaseOps operators are undone
            if it knows them.
    """

    def __init__(self, tokenizer: SentencePieceProcessor) -> None:
        ids = range(tokenizer.vocab_size())
        control, unknown, unused = tokenizer.is_control, tokenizer.is_unknown, tokenizer.is_unused
        self._tokenizer = tokenizer
        self._edge = np.array([control(i) or unknown(i) or unused(i) for i in ids])
        self._byte = np.array([tokenizer.is_byte(i) for i in ids])
        self._operators = caseops.knows_operators(tokenizer)
        self._spaces = Spaces.of(tokenizer)

    def __call__(self, ids: Tokens) -> Decoded:
        """
        Decode one document; what is none of its text parts it.

        Args:
            ids: The document, shape (n,).

        Returns:
            Its text, and how far each token reaches.

        Raises:
            UsageError: The tokenizer does not say which text its tokens stand for.

        """
        edges = np.flatnonzero(self._edge[ids]).tolist()
        texts, spelled, intact = [], np.zeros(ids.size, np.int64), True
        for before, end in pairwise([-1, *edges, ids.size]):
            text, surfaces = self._decode(ids[before + 1 : end])
            sizes = [len(surface.encode()) for surface in surfaces]
            if self._operators:
                try:
                    text, sizes = caseops.decode(text), caseops.surface_bytes(surfaces)
                except UsageError:
                    # Normalising composes letters with marks; then an operator has lost its own.
                    intact = False
            texts.append(text)
            spelled[before + 1 : end] = sizes
        least = np.cumsum(spelled)
        return Decoded("".join(texts), least, least + self._begun(ids, spelled), intact)

    def _begun(self, ids: Tokens, spelled: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many bytes of an incomplete character there are after each token."""
        begun = self._byte[ids] & (spelled == 0)
        place = np.arange(ids.size)
        return place - np.maximum.accumulate(np.where(begun, -1, place))

    def _decode(self, ids: Tokens) -> tuple[str, list[str]]:
        """Return the text of tokens without an edge, and what each completes of it."""
        if not ids.size:
            return "", []
        found = self._tokenizer.decode(ids.tolist(), return_type="offset_mapping")
        raw: str = found["text"]
        skipped = int(self._spaces.opening and raw.startswith(SPACE_MARK))
        text = raw.replace(SPACE_MARK, " ")[skipped:]
        if self._spaces.closing:
            text = text.removesuffix(" ")
        surfaces = [
            text[max(start - skipped, 0) : max(end - skipped, 0)] for start, end in found["offsets"]
        ]
        if "".join(surfaces) != text:
            raise UsageError("the tokenizer does not say which text its tokens stand for")
        return text, surfaces
