"""The denominator of bits per byte is what the text really has."""

from importlib.resources import files

import numpy as np
import pytest
import sentencepiece

from artpack.demo import HELD_OUT, TOKENIZER
from artpack.errors import UsageError
from artpack.evaluation.tokens import caseops
from artpack.evaluation.tokens.byte_check import check_bytes
from artpack.evaluation.tokens.byte_counts import ByteTable
from artpack.evaluation.tokens.documents import document_spans
from artpack.evaluation.tokens.shards import read_tokens
from artpack.evaluation.tokens.stream import tokenize_text

Tokenizer = sentencepiece.SentencePieceProcessor
TEXT = "the cat sat\0The Dog; ÀÉ 日本 over 1,234 trees\0\0a"


def test_the_rule_gives_each_token_its_bytes() -> None:
    table = ByteTable(
        base=np.array([0, 0, 3, 1]),
        leading_space=np.array([False, False, True, False]),
        boundary=np.array([True, True, False, False]),
    )
    ids = np.array([2, 1, 2, 2, 3, 2], np.uint16)
    assert table.count(ids).tolist() == [3, 0, 3, 4, 1, 4]


def test_counted_bytes_are_those_of_the_decoded_text(tokenizer: Tokenizer) -> None:
    ids = tokenize_text(TEXT, tokenizer).ids
    check = check_bytes(ids, ByteTable.from_tokenizer(tokenizer).count(ids), tokenizer)
    assert (check.documents, check.mismatches, check.first) == (4, 0, None)
    assert check.counted == check.decoded == len(TEXT.replace("\0", "").encode())


def test_spaces_counted_twice_are_found_in_the_first_document_that_has_them(
    tokenizer: Tokenizer,
) -> None:
    honest = ByteTable.from_tokenizer(tokenizer)
    twice = ByteTable(honest.base + honest.leading_space, honest.leading_space, honest.boundary)
    ids = tokenize_text("a\0the cat sat on", tokenizer).ids
    check = check_bytes(ids, twice.count(ids), tokenizer)
    assert check.first is not None
    assert check.counted > check.decoded == 15
    # SentencePiece puts a space before the first word, which both documents' tokens carry.
    assert (check.mismatches, check.first.document, check.first.decoded) == (2, 0, 1)


def test_case_operators_counted_as_text_are_found(caseops_tokenizer: Tokenizer) -> None:
    ids, credited = caseops.tokenize("The NASA cat", caseops_tokenizer)
    by_table = ByteTable.from_tokenizer(caseops_tokenizer).count(ids)
    wrong = check_bytes(ids, by_table, caseops_tokenizer)
    right = check_bytes(ids, credited, caseops_tokenizer)
    assert wrong.counted == 12 + 2 * 3
    assert (right.counted, right.decoded, right.mismatches) == (12, 12, 0)


def test_ids_beyond_the_tokenizer_stand_for_nothing(tokenizer: Tokenizer) -> None:
    size = tokenizer.vocab_size()
    table = ByteTable.from_tokenizer(tokenizer, vocab_size=size + 2)
    assert table.base[size:].tolist() == [0, 0]
    assert table.boundary[size:].all()
    with pytest.raises(UsageError, match=f"beyond the tokenizer's {size} pieces"):
        ByteTable.from_tokenizer(tokenizer).count(np.array([size], np.uint16))


def test_one_count_a_token_is_asked_for(tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match="2 byte counts for 3 tokens"):
        check_bytes(np.array([1, 5, 6], np.uint16), np.array([0, 1]), tokenizer)


def test_documents_start_at_every_bos() -> None:
    assert document_spans(np.array([], np.uint16), 1) == []
    assert document_spans(np.array([1, 1, 4], np.uint16), 1) == [(0, 1), (1, 3)]
    assert document_spans(np.array([4, 4], np.uint16), 1) == [(0, 2)]


def test_the_demo_counts_every_byte_of_its_text() -> None:
    files_of_demo = files("artpack.demo").joinpath("data")
    tokenizer = Tokenizer(model_proto=files_of_demo.joinpath(TOKENIZER).read_bytes())
    ids = read_tokens(str(files_of_demo.joinpath(HELD_OUT)), vocab_size=tokenizer.vocab_size())
    counts = ByteTable.from_tokenizer(tokenizer).count(ids)
    check = check_bytes(ids, counts, tokenizer)
    assert (check.mismatches, check.documents) == (0, 36)
    texts = [tokenizer.decode(ids[a + 1 : b].tolist()) for a, b in document_spans(ids, 1)]
    spans = document_spans(ids, 1)
    assert [counts[a:b].sum() for a, b in spans] == [len(text.encode()) for text in texts]
    assert check.counted == sum(len(text.encode()) for text in texts)
