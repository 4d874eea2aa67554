"""CaseOps text decodes to what was encoded, and equals the original system's."""

import json
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from artpack.errors import UsageError
from artpack.evaluation.tokens.caseops import (
    ALL_CAPS,
    CAP_NEXT,
    ESCAPE,
    TITLE,
    decode,
    encode,
    surface_bytes,
    tokenize,
)

OPERATORS = TITLE + ALL_CAPS + CAP_NEXT + ESCAPE


@given(st.text(st.sampled_from("aBcDÉé 1.\n" + OPERATORS)) | st.text())
def test_decoding_undoes_encoding(text: str) -> None:
    encoded = encode(text)
    assert decode(encoded) == text
    assert not any("A" <= char <= "Z" for char in encoded)


@given(st.text(st.sampled_from("aBcÉ 1" + OPERATORS)))
def test_bytes_of_single_characters_add_up_to_the_original(text: str) -> None:
    assert sum(surface_bytes(list(encode(text)))) == len(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        ESCAPE,
        TITLE,
        TITLE + " ",
        CAP_NEXT + CAP_NEXT + "a",
        "a" + TITLE + "b",
        "a" + ALL_CAPS + "b",
        ALL_CAPS + TITLE + "a",
        ESCAPE + TITLE + TITLE,
    ],
)
def test_misplaced_operators_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="CaseOps"):
        decode(text)
    with pytest.raises(UsageError, match="CaseOps"):
        surface_bytes([text])


def test_a_long_plain_word_takes_linear_time() -> None:
    assert decode("a" * 1_000_000) == "a" * 1_000_000


def test_white_space_is_credited_to_the_piece_that_carries_it(
    caseops_tokenizer: sentencepiece.SentencePieceProcessor,
) -> None:
    ids, credited = tokenize("the\n\ncat", caseops_tokenizer)
    assert ids[0] == 1
    assert credited[0] == 0
    assert credited.sum() == 8


def test_the_original_system_encodes_the_same(cases: Path) -> None:
    golden = json.loads((cases / "golden" / "pr1934" / "caseops.json").read_text())
    for case in golden["strings"]:
        assert encode(case["text"]) == case["encoded"]
        assert decode(case["encoded"]) == case["text"]
