"""CaseOps decoding agrees with a state machine written from the specification, step by step."""

from itertools import pairwise, product

import numpy as np
import pytest

from artpack.errors import UsageError
from artpack.evaluation.tokens.caseops import (
    ALL_CAPS,
    CAP_NEXT,
    ESCAPE,
    TITLE,
    decode,
    encode,
    surface_bytes,
)

SHORT = {"T": TITLE, "A": ALL_CAPS, "C": CAP_NEXT, "E": ESCAPE}
"""How the operators are written in this file; ``a``, ``B`` and ``1`` stand for themselves."""
SYMBOLS = "TACEaB1"
LONGEST = 6


class Reference:
    """The published decoder: every clause of its description is one branch here."""

    def __init__(self) -> None:
        self.word_mode: str | None = None
        self.capital_next = False
        self.inside_word = False
        self.word_is_capitals = False
        self.escape_open = False

    def step(self, char: str) -> str:
        """Return what one encoded character stands for; ValueError where it may not stand."""
        if self.escape_open:
            self.escape_open = False
            return self.escaped(char)
        if char == ESCAPE:
            self.escape_open = True
            return ""
        if char in (TITLE, ALL_CAPS):
            if self.word_mode is not None or self.capital_next or self.inside_word:
                raise ValueError(char)
            self.word_mode = char
            return ""
        if char == CAP_NEXT:
            if self.capital_next:
                raise ValueError(char)
            self.capital_next = True
            return ""
        return self.letter(char) if is_letter(char) else self.other(char)

    def letter(self, char: str) -> str:
        """Return a letter at the start of a word, or inside one."""
        if not self.inside_word:
            capital = self.word_mode is not None or self.capital_next
            self.word_is_capitals = self.word_mode == ALL_CAPS
            self.word_mode, self.capital_next, self.inside_word = None, False, True
            return char.upper() if capital else char
        if self.word_mode is not None:
            raise ValueError(char)
        capital = self.word_is_capitals or self.capital_next
        self.capital_next = False
        return char.upper() if capital else char

    def other(self, char: str) -> str:
        """Return what is no letter; it ends a word."""
        if self.word_mode is not None or self.capital_next:
            raise ValueError(char)
        self.inside_word = self.word_is_capitals = False
        return char

    def escaped(self, char: str) -> str:
        """Return a literal character."""
        if is_letter(char):
            self.inside_word = True
            return char
        if self.word_mode is not None:
            raise ValueError(char)
        self.inside_word = self.word_is_capitals = False
        return char

    def end(self) -> None:
        """Check that nothing is open."""
        if self.escape_open or self.word_mode is not None or self.capital_next:
            raise ValueError("end")


def is_letter(char: str) -> bool:
    return "a" <= char <= "z" or "A" <= char <= "Z"


def reference(pieces: list[str]) -> list[str] | None:
    """Return the original text of each piece, or None if the whole is refused."""
    machine = Reference()
    try:
        texts = ["".join(map(machine.step, piece)) for piece in pieces]
        machine.end()
    except ValueError:
        return None
    return texts


def ours(text: str) -> str | None:
    try:
        return decode(text)
    except UsageError:
        return None


def our_bytes(pieces: list[str]) -> list[int] | None:
    try:
        return surface_bytes(pieces)
    except UsageError:
        return None


def sizes(texts: list[str] | None) -> list[int] | None:
    """Return the bytes of each text."""
    return None if texts is None else [len(text.encode()) for text in texts]


def spelt(symbols: str) -> str:
    """Return encoded text for its short form."""
    return "".join(SHORT.get(symbol, symbol) for symbol in symbols)


def check(text: str) -> None:
    want = reference([text])
    assert ours(text) == (None if want is None else want[0]), ascii(text)


@pytest.mark.parametrize("length", range(LONGEST + 1))
def test_every_short_string_decodes_as_specified(length: int) -> None:
    alphabet = [SHORT.get(symbol, symbol) for symbol in SYMBOLS]
    for symbols in product(alphabet, repeat=length):
        check("".join(symbols))


@pytest.mark.parametrize("length", range(LONGEST))
def test_every_short_string_has_its_bytes_character_by_character(length: int) -> None:
    alphabet = [SHORT.get(symbol, symbol) for symbol in SYMBOLS]
    for symbols in product(alphabet, repeat=length):
        pieces = list(symbols)
        want = reference(pieces)
        assert our_bytes(pieces) == sizes(want)


@pytest.mark.parametrize(
    ("symbols", "text"),
    [
        ("TCa", "A"),
        ("TCab", "Ab"),
        ("ACab", "AB"),
        ("CETa", TITLE + "A"),
        ("CE1a", "1A"),
        ("CEaa", "aA"),
        ("aEbc", "abc"),
        ("AaEbc", "AbC"),
        ("AaE1b", "A1b"),
        ("EE", ESCAPE),
        ("EaTb", None),
        ("TEab", None),
        ("TEa", None),
        ("TEa1", None),
        ("TE1a", None),
        ("CTa", None),
        ("C1", None),
        ("aTb", None),
        ("TéA", None),
        ("éTb", "éB"),
        ("aéCb", "aéB"),
        ("AaéB", "AéB"),
        ("", ""),
    ],
)
def test_forks_of_the_description(symbols: str, text: str | None) -> None:
    assert ours(spelt(symbols)) == text
    check(spelt(symbols))


def test_long_random_strings_decode_as_specified_whatever_their_pieces() -> None:
    draw = np.random.default_rng(0)
    alphabet = np.array([*SHORT.values(), *"aaabB1 éÉ😀"])
    accepted = 0
    for _ in range(4000):
        text = "".join(draw.choice(alphabet, int(draw.integers(7, 24))))
        check(text)
        cuts = sorted(draw.integers(0, len(text) + 1, 3).tolist())
        edges = [0, *cuts, len(text)]
        pieces = [text[low:high] for low, high in pairwise(edges)]
        want = reference(pieces)
        assert our_bytes(pieces) == sizes(want)
        accepted += want is not None
    assert accepted > 50


def test_what_was_encoded_decodes_and_its_bytes_are_the_original_ones() -> None:
    draw = np.random.default_rng(1)
    alphabet = np.array([*SHORT.values(), *"abcABCéÉß1 \n'😀"])
    for _ in range(2000):
        text = "".join(draw.choice(alphabet, int(draw.integers(0, 24))))
        encoded = encode(text)
        assert decode(encoded) == text
        check(encoded)
        assert sum(surface_bytes([encoded])) == len(text.encode())


def test_a_state_is_carried_from_piece_to_piece() -> None:
    assert surface_bytes([ALL_CAPS, "n", "asa"]) == [0, 1, 3]
    assert surface_bytes([TITLE, CAP_NEXT, "a"]) == [0, 0, 1]
    assert surface_bytes([ESCAPE, TITLE, "é", "▁a"]) == [0, 3, 2, 4]
    assert surface_bytes(["i" + CAP_NEXT, "phone"]) == [1, 5]
    with pytest.raises(UsageError, match="without its letter"):
        surface_bytes([TITLE, ""])
    with pytest.raises(UsageError, match="misplaced or doubled"):
        surface_bytes(["a", TITLE + "b"])
