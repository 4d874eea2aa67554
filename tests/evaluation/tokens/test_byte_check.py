"""Bytes are checked token by token, and text that tokens do not give back is told."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
import sentencepiece

from artpack.evaluation.tokens import caseops
from artpack.evaluation.tokens.byte_check import ByteCheck, Losses, check_bytes, find_losses
from artpack.evaluation.tokens.byte_counts import count_bytes
from artpack.evaluation.tokens.documents import DOCUMENT_SEPARATOR
from artpack.evaluation.tokens.stream import Stream, tokenize_text
from tests.evaluation.conftest import train_tokenizer, without_space_marks

Tokenizer = sentencepiece.SentencePieceProcessor
TEXT = "the cat sat\0 The  Dog; \u00c0\u00c9 \u65e5\u672c over 1,234 trees \0\0a\0\u65e5 the"

AS_IT_IS = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
ACROSS_WORDS = {
    "split_by_whitespace": False,
    "split_by_number": False,
    "split_by_unicode_script": False,
    "vocab_size": 420,
}
KINDS: dict[str, dict[str, Any]] = {
    "usual": {},
    "no dummy prefix": {"add_dummy_prefix": False},
    "as it is": AS_IT_IS,
    "as it is, no dummy prefix": {**AS_IT_IS, "add_dummy_prefix": False},
    "marks inside": ACROSS_WORDS,
    "marks inside, as it is": {**ACROSS_WORDS, **AS_IT_IS},
    "marks at the end": {"treat_whitespace_as_suffix": True},
    "marks at the end, as it is": {"treat_whitespace_as_suffix": True, **AS_IT_IS},
    "unigram": {"model_type": "unigram", "vocab_size": 310},
}


def read(text: str, tokenizer: Tokenizer, *, faithful: bool = False) -> tuple[Stream, ByteCheck]:
    """Tokenize a text and check it."""
    stream = tokenize_text(text, tokenizer, faithful=faithful)
    texts = text.split(DOCUMENT_SEPARATOR)
    return stream, check_bytes(stream.ids, stream.byte_counts, tokenizer, texts=texts)


@pytest.mark.parametrize("kind", KINDS)
def test_every_space_is_one_byte(kind: str) -> None:
    tokenizer = train_tokenizer(**KINDS[kind])
    stream, check = read(TEXT, tokenizer)
    assert check.sound, check
    assert check.counted == check.decoded == stream.byte_counts.sum()
    own = [" ".join(text.split()) for text in TEXT.split("\0")]
    if "as it is" not in kind:
        assert check.decoded == sum(len(text.encode()) for text in own)
        assert check.sha256 == sha256("\0".join(own).encode()).hexdigest()


@pytest.mark.parametrize("kind", ["as it is, no dummy prefix", "marks inside, as it is"])
def test_what_keeps_all_white_space_counts_all_of_it(kind: str) -> None:
    tokenizer = train_tokenizer(**{**KINDS[kind], "add_dummy_prefix": False})
    stream, check = read(TEXT, tokenizer)
    assert check.sound
    assert stream.byte_counts.sum() == len(TEXT.replace("\0", "").encode())


@pytest.mark.parametrize("kind", ["marks inside", "marks at the end"])
def test_the_published_rule_counts_three_bytes_for_a_mark_inside(kind: str) -> None:
    tokenizer = train_tokenizer(**KINDS[kind])
    right, published = read(TEXT, tokenizer)[0], read(TEXT, tokenizer, faithful=True)
    pieces = [tokenizer.id_to_piece(i) for i in right.ids.tolist()]
    inner = sum(piece[1:].count("\u2581") for piece in pieces)
    assert inner >= 3
    assert published[0].byte_counts.sum() >= right.byte_counts.sum() + 2 * inner
    assert published[1].mismatches


def test_a_space_that_is_spelled_in_bytes_is_one_byte_and_told() -> None:
    tokenizer = without_space_marks(train_tokenizer())
    stream, check = read(TEXT, tokenizer)
    spaces = sum(len(text.split()) for text in TEXT.split("\0"))
    assert [tokenizer.id_to_piece(i) for i in stream.ids[1:4].tolist()] == [
        "<0xE2>",
        "<0x96>",
        "<0x81>",
    ]
    assert check.counted == check.decoded
    assert check.decoded == sum(len(" ".join(t.split()).encode()) for t in TEXT.split("\0"))
    assert (check.mismatches, check.losses) == (0, Losses(tokens=spaces))
    assert not check.sound
    published = count_bytes(stream.ids, tokenizer, faithful=True)
    assert published.sum() == check.decoded + 2 * spaces + 4


def test_unknown_pieces_stand_for_nothing_and_are_told() -> None:
    tokenizer = train_tokenizer(byte_fallback=False, vocab_size=60)
    stream, check = read("the cat \u65e5\0a dog", tokenizer)
    assert stream.byte_counts[stream.ids == tokenizer.unk_id()].tolist() == [0]
    assert check.losses == Losses(tokens=1, documents=1)
    assert find_losses(stream.ids, tokenizer) == Losses(tokens=1)
    assert not check.sound


def test_lost_capitals_are_told() -> None:
    tokenizer = train_tokenizer(normalization_rule_name="nmt_nfkc_cf")
    stream, check = read("the Cat\0the cat", tokenizer)
    assert check.mismatches == 0
    assert check.losses == Losses(capitals=True, documents=1)
    alone = check_bytes(stream.ids, stream.byte_counts, tokenizer)
    assert not alone.sound
    assert "small letters" in alone.losses.lines()[0]


def test_text_that_is_normalised_is_told_but_not_white_space(tokenizer: Tokenizer) -> None:
    assert read("the\n\ncat \t sat\n", tokenizer)[1].sound
    assert read("\ufb01ve cats\0the cat", tokenizer)[1].losses.documents == 1
    without_spaces = check_bytes(*count(tokenizer, "the cat"), tokenizer, texts=["thecat"])
    assert without_spaces.losses.documents == 1


def count(tokenizer: Tokenizer, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of a text and their bytes."""
    stream = tokenize_text(text, tokenizer)
    return stream.ids, stream.byte_counts


def to_the_front(counts: np.ndarray) -> np.ndarray:
    """Put all bytes on the second token."""
    return np.where(np.arange(counts.size) == 1, counts.sum(), 0)


def to_the_start(counts: np.ndarray) -> np.ndarray:
    """Put all bytes on BOS."""
    return np.where(np.arange(counts.size) == 0, counts.sum(), 0)


def one_token_on(counts: np.ndarray) -> np.ndarray:
    """Give each token the bytes of the one before."""
    return np.roll(counts, 1)


def twice_and_never(counts: np.ndarray) -> np.ndarray:
    """Take from one token what another gets."""
    moved = counts.copy()
    moved[2], moved[-1] = moved[2] + moved[-1], 0
    return moved


def below_zero(counts: np.ndarray) -> np.ndarray:
    """Give too much at first, and take it back."""
    moved = counts.copy()
    moved[1], moved[2] = moved[1] + 1000, moved[2] - 1000
    return moved


@pytest.mark.parametrize(
    "move", [to_the_front, to_the_start, one_token_on, twice_and_never, below_zero]
)
@pytest.mark.parametrize("case_ops", [False, True])
def test_bytes_that_move_inside_a_document_are_found(
    move: Callable[[np.ndarray], np.ndarray],
    tokenizer: Tokenizer,
    caseops_tokenizer: Tokenizer,
    *,
    case_ops: bool,
) -> None:
    own = caseops_tokenizer if case_ops else tokenizer
    ids, counts = count(own, "the Cat sat on the NASA mat")
    assert check_bytes(ids, counts, own).sound
    moved = move(counts)
    assert moved.sum() == counts.sum()
    check = check_bytes(ids, moved, own)
    assert check.counted == check.decoded
    assert (check.mismatches, check.sound) == (1, False)
    assert check.first is not None
    assert check.first.token == int(np.argmax(moved != counts))


def test_a_spelled_character_counts_at_its_bytes_or_at_its_last(tokenizer: Tokenizer) -> None:
    ids, counts = count(tokenizer, "the \u65e5 mat")
    spelled = np.flatnonzero([tokenizer.is_byte(i) for i in ids.tolist()])
    assert counts[spelled].tolist() == [1, 1, 1]
    for shares, sound in (((0, 0, 3), True), ((3, 0, 0), False), ((1, 2, 0), False)):
        moved = counts.copy()
        moved[spelled] = shares
        assert check_bytes(ids, moved, tokenizer).sound == sound


def test_credit_of_case_operators_is_checked_piece_by_piece(caseops_tokenizer: Tokenizer) -> None:
    text = "The NASA iPhone \ue001 \u00c9"
    ids, counts = caseops.tokenize(text, caseops_tokenizer)
    check = check_bytes(ids, counts, caseops_tokenizer, texts=[text])
    assert check.sound
    assert check.decoded == len(text.encode())


def test_white_space_that_caseops_credits_beyond_the_text_is_found(
    caseops_tokenizer: Tokenizer,
) -> None:
    ids, counts = caseops.tokenize("the\n\ncat", caseops_tokenizer)
    check = check_bytes(ids, counts, caseops_tokenizer)
    assert (check.counted, check.decoded, check.mismatches) == (8, 7, 1)


def test_control_pieces_part_texts_and_stand_for_nothing(tokenizer: Tokenizer) -> None:
    stream = tokenize_text("the cat", tokenizer)
    ids = np.array([1, *stream.ids[1:], 2, *stream.ids[1:], 0, 0], np.uint32)
    counts = count_bytes(ids, tokenizer)
    assert check_bytes(ids, counts, tokenizer).sound
    assert counts.sum() == 2 * len("the cat")
    padded = counts.copy()
    padded[-1] += 1
    assert not check_bytes(ids, padded, tokenizer).sound


def test_half_a_character_disagrees(tokenizer: Tokenizer) -> None:
    stream = tokenize_text("the \u65e5", tokenizer)
    cut = replace(stream, ids=stream.ids[:-1], byte_counts=stream.byte_counts[:-1])
    assert check_bytes(cut.ids, cut.byte_counts, tokenizer).mismatches == 1


@pytest.mark.parametrize("operator", [caseops.TITLE, caseops.CAP_NEXT, caseops.ESCAPE])
def test_operators_without_their_letters_are_a_loss_and_stop_nothing(
    caseops_tokenizer: Tokenizer, operator: str
) -> None:
    ids, counts = caseops.tokenize("The cat", caseops_tokenizer)
    dangling = caseops_tokenizer.piece_to_id(operator)
    ids = np.concatenate([ids, [dangling], ids]).astype(np.uint32)
    for credit in (0, 3):
        both = np.concatenate([counts, [credit], counts])
        check = check_bytes(ids, both, caseops_tokenizer)
        assert check.losses == Losses(documents=1)
        assert check.documents == 2
    assert not check.sound


def test_texts_without_tokens_are_lost(tokenizer: Tokenizer) -> None:
    ids, counts = count(tokenizer, "the cat")
    check = check_bytes(ids, counts, tokenizer, texts=["the cat", "a dog"])
    assert check.losses == Losses(documents=1)
