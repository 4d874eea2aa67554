"""The coders that give every symbol the same room, and the bit planes."""

import numpy as np
import pytest

from artpack.coding.symbol_coders import Base3, Base5, Base5Word, Bits, Bytes, Planes
from artpack.errors import CorruptError
from artpack.stages import SymbolCoder


@pytest.mark.parametrize(
    ("coder", "alphabet", "count", "size"),
    [
        (Bytes(), 2, 1000, 1000),
        (Bits(), 1, 1000, 0),
        (Bits(), 2, 1000, 125),
        (Bits(), 5, 1000, 375),
        (Bits(), 256, 1000, 1000),
        (Base3(), 3, 1000, 200),
        (Base5(), 5, 1000, 334),
        (Base5Word(), 5, 1000, 304),
    ],
)
def test_size_depends_on_the_count_alone(
    coder: SymbolCoder, alphabet: int, count: int, size: int
) -> None:
    assert len(coder.encode(np.zeros(count, dtype=np.uint8), alphabet=alphabet)) == size


@pytest.mark.parametrize(("coder", "base"), [(Base3(), 3), (Base5(), 5), (Base5Word(), 5)])
def test_words_are_big_integers_in_the_base(coder: SymbolCoder, base: int) -> None:
    digits_per_word, word_bytes = {"base3": (5, 1), "base5": (3, 1), "base5-word": (27, 8)}[
        coder.stage_id
    ]
    symbols = np.random.default_rng(0).integers(0, base, 10 * digits_per_word, dtype=np.uint8)
    words = [
        sum(int(digit) * base**place for place, digit in enumerate(word))
        for word in symbols.reshape(-1, digits_per_word)
    ]
    expected = b"".join(word.to_bytes(word_bytes, "little") for word in words)

    assert coder.encode(symbols, alphabet=base) == expected


@pytest.mark.parametrize(
    ("coder", "alphabet", "count", "data", "fault"),
    [
        (Bytes(), 3, 2, "00 03", "symbol 3 is not below"),
        (Bits(), 5, 2, "01", "padding"),
        (Bits(), 5, 1, "a0", "symbol 5 is not below"),
        (Base3(), 3, 5, "f3", "more than 5 digits"),
        (Base3(), 3, 2, "09", "padding"),
        (Base3(), 2, 2, "02", "symbol 2 is not below"),
        (Base5(), 5, 3, "7d", "more than 3 digits"),
        (Base5Word(), 5, 27, "ff ff ff ff ff ff ff ff", "more than 27 digits"),
        (Planes(), 5, 2, "c1", "padding"),
        (Planes(), 5, 2, "40 40 00", "padding"),
        (Planes(), 6, 1, "00 00 80 80", "magnitude"),
        (Planes(), 256, 1, "00 00 80 80 80 80 80 80 80", "magnitude"),
        (Planes(), 1, 1, "00 00", "magnitude"),
        (Planes(), 5, 1, "80 00", "left over"),
    ],
)
def test_lies_are_named(
    coder: SymbolCoder, alphabet: int, count: int, data: str, fault: str
) -> None:
    with pytest.raises(CorruptError, match=fault):
        coder.decode(bytes.fromhex(data), alphabet=alphabet, count=count)


def test_a_large_alphabet_has_a_plane_for_every_bit_of_magnitude() -> None:
    symbols = np.arange(256, dtype=np.uint8)
    data = Planes().encode(symbols, alphabet=256)

    assert len(data) == 32 + 8 * 32
    assert Planes().encode(np.array([0], dtype=np.uint8), alphabet=256).hex() == (
        "00" + "80" + "80" * 7
    )
