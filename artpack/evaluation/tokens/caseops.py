"""
CaseOps: capital letters as operators before lower-case text, and back.

Four private-use characters stand for capitals, so that a tokenizer sees one spelling
of a word. Only ASCII letters take part; everything else passes unchanged, and an
operator that occurs in the text itself is escaped.

Source: PR 1934 (``lossless_caps_caseops_v1``).
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from artpack.errors import UsageError
from artpack.evaluation.tokens.shards import Tokens

TITLE = "\ue001"
ALL_CAPS = "\ue002"
CAP_NEXT = "\ue003"
ESCAPE = "\ue004"
OPERATORS = TITLE + ALL_CAPS + CAP_NEXT + ESCAPE
_LETTERS = "A-Za-z"
_PLAIN_RUN = re.compile(f"[{OPERATORS}]|[{_LETTERS}]+")
# What lies outside such a run has no state: an operator must meet its letter in it.
_MARKED_RUN = re.compile(
    f"(?:(?:{ESCAPE}.?|[{TITLE}{ALL_CAPS}{CAP_NEXT}])[{_LETTERS}]*)+", re.DOTALL
)


def knows_operators(tokenizer: SentencePieceProcessor) -> bool:
    """
    Say whether a tokenizer is made for CaseOps text.

    Args:
        tokenizer: Any SentencePiece model.

    Returns:
        Whether every operator is a piece of its own.

    """
    return all(tokenizer.piece_to_id(o) != tokenizer.unk_id() for o in OPERATORS)


def encode(text: str) -> str:
    """
    Replace capital letters by operators.

    Args:
        text: Any text.

    Returns:
        The same text in lower case (ASCII letters only) with operators.

    >>> encode("The NASA iPhone").replace(TITLE, "^").replace(ALL_CAPS, "^^").replace(CAP_NEXT, "+")
    '^the ^^nasa i+phone'

    """
    return _PLAIN_RUN.sub(lambda match: _encode_run(match[0]), text)


def decode(text: str) -> str:
    """
    Put the capital letters back.

    Args:
        text: What :func:`encode` made.

    Returns:
        The original text.

    Raises:
        UsageError: An operator is misplaced, doubled or dangling.

    >>> decode(encode("McDonald's in the U.S.A."))
    "McDonald's in the U.S.A."

    """
    return _MARKED_RUN.sub(_decode_run, text)


def surface_bytes(surfaces: Sequence[str]) -> list[int]:
    """
    Count the original bytes behind each piece of CaseOps text.

    Args:
        surfaces: The spans of encoded text that the pieces cover, in order.

    Returns:
        UTF-8 bytes of original text per piece: operators 0, an escaped one 3.

    Raises:
        UsageError: An operator is misplaced, doubled or dangling.

    >>> surface_bytes([TITLE + "hel", "lo", " ", ALL_CAPS, "wo", "rld"])
    [3, 2, 1, 0, 2, 3]

    """
    reader = _Reader()
    counts = [sum(len(reader.read(c).encode()) for c in surface) for surface in surfaces]
    reader.finish()
    return counts


def tokenize(text: str, tokenizer: SentencePieceProcessor) -> tuple[Tokens, NDArray[np.int64]]:
    """
    Turn one document into tokens and the bytes that each of them stands for.

    White space that the tokenizer collapses is credited to the piece that carries
    the space, a character spelt in byte pieces to the last of them; what it strips
    at the ends is credited to nobody, so the sum may fall short of the text.

    Args:
        text: The original document.
        tokenizer: A CaseOps tokenizer with a BOS id.

    Returns:
        BOS and the tokens, uint32, and as many byte counts, int64; BOS counts 0.

    """
    encoded = encode(text)
    pieces = tokenizer.encode(encoded, out_type="offset_mapping")
    surfaces = [encoded[start:stop] for start, stop in pieces["offsets"]]
    ids = np.array([tokenizer.bos_id(), *pieces["ids"]], np.uint32)
    return ids, np.array([0, *surface_bytes(surfaces)], np.int64)


def _encode_run(run: str) -> str:
    if run in OPERATORS:
        return ESCAPE + run
    if run.islower():
        return run
    if len(run) > 1 and run.isupper():
        return ALL_CAPS + run.lower()
    title = TITLE if run[0].isupper() else ""
    rest = (CAP_NEXT + c.lower() if c.isupper() else c for c in run[1:])
    return title + run[0].lower() + "".join(rest)


def _decode_run(match: re.Match[str]) -> str:
    before = match.string[match.start() - 1 : match.start()]
    reader = _Reader(in_word=_is_letter(before))
    decoded = "".join(map(reader.read, match[0]))
    reader.finish()
    return decoded


def _is_letter(char: str) -> bool:
    return char.isascii() and char.isalpha()


class _Reader:
    """
    Reads encoded text one character at a time, giving the original characters.

    A word mode (title or all capitals) and "the next is a capital" wait for their letter
    independently: one may be pending while the other is.
    """

    def __init__(self, *, in_word: bool = False) -> None:
        self._in_word = in_word
        self._all_caps = False
        self._escaped = False
        self._mode = ""
        self._cap_next = False

    def read(self, char: str) -> str:
        """Return the original character, or nothing for an operator."""
        if self._escaped:
            self._escaped = False
            return self._literal(char)
        if char == ESCAPE:
            self._escaped = True
            return ""
        if char in OPERATORS:
            self._mark(char)
            return ""
        return self._letter(char) if _is_letter(char) else self._other(char)

    def finish(self) -> None:
        """Check that no operator waits for its letter."""
        if self._escaped or self._mode or self._cap_next:
            raise UsageError("CaseOps operator without its letter; was the text cut?")

    def _mark(self, operator: str) -> None:
        wrong = self._cap_next or (operator != CAP_NEXT and (self._mode or self._in_word))
        if wrong:
            raise UsageError(f"CaseOps operator U+{ord(operator):04X} is misplaced or doubled")
        if operator == CAP_NEXT:
            self._cap_next = True
        else:
            self._mode = operator

    def _letter(self, char: str) -> str:
        if self._in_word:
            self._check_mode(char)
        self._all_caps |= self._mode == ALL_CAPS
        upper = self._all_caps or self._mode or self._cap_next
        self._mode, self._cap_next, self._in_word = "", False, True
        return char.upper() if upper else char

    def _other(self, char: str) -> str:
        if self._cap_next:
            raise UsageError(f"CaseOps operator is followed by {char!r}, not by its letter")
        return self._literal(char)

    def _literal(self, char: str) -> str:
        """Take a character as it is; a capital that is due next is still due after it."""
        if _is_letter(char):
            self._in_word = True
        else:
            self._check_mode(char)
            self._in_word = self._all_caps = False
        return char

    def _check_mode(self, char: str) -> None:
        """Refuse what cannot start the word that a pending mode is for."""
        if self._mode:
            raise UsageError(f"CaseOps operator is followed by {char!r}, not by its word")
