"""Streams come with the bytes that their tokens stand for, whatever they are read from."""

from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from artpack.errors import UsageError
from artpack.evaluation.tokens.caseops import knows_operators
from artpack.evaluation.tokens.shards import write_shard
from artpack.evaluation.tokens.stream import read_stream, tokenize_text

Tokenizer = sentencepiece.SentencePieceProcessor


def test_text_becomes_one_bos_a_document(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "val.txt"
    path.write_text("the cat\0a dog")
    stream = read_stream(str(path), tokenizer)
    assert stream.ids.tolist() == [1, *tokenizer.encode("the cat"), 1, *tokenizer.encode("a dog")]
    assert stream.byte_counts.sum() == 12


def test_a_caseops_tokenizer_gets_caseops_text(
    tokenizer: Tokenizer, caseops_tokenizer: Tokenizer
) -> None:
    assert (knows_operators(tokenizer), knows_operators(caseops_tokenizer)) == (False, True)
    stream = tokenize_text("The NASA\0Cat", caseops_tokenizer)
    assert stream.byte_counts.sum() == 11
    assert not any(caseops_tokenizer.is_byte(i) for i in stream.ids.tolist())


def test_shards_are_counted_by_the_tokenizer_or_by_their_sidecar(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    made = tokenize_text("the cat sat", tokenizer)
    write_shard(tmp_path / "val_0.bin", made.ids)
    write_shard(tmp_path / "val_bytes_0.bin", np.full(made.ids.size, 7))
    pattern = str(tmp_path / "val_*.bin")
    assert read_stream(pattern, tokenizer).byte_counts.tolist() == made.byte_counts.tolist()
    beside = read_stream(pattern, tokenizer, sidecar=pattern)
    assert beside.byte_counts.tolist() == [7] * made.ids.size


def test_caseops_shards_need_their_sidecar(tmp_path: Path, caseops_tokenizer: Tokenizer) -> None:
    write_shard(tmp_path / "val.bin", np.array([1, 5]))
    with pytest.raises(UsageError, match="give their byte sidecar too"):
        read_stream(str(tmp_path / "val.bin"), caseops_tokenizer)


def test_ids_beyond_the_tokenizer_are_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    write_shard(tmp_path / "val.bin", np.array([1, 60000]))
    with pytest.raises(UsageError, match="token 1 is id 60000, beyond the vocabulary"):
        read_stream(str(tmp_path / "val.bin"), tokenizer)


def test_text_that_cannot_be_read_is_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "val.txt"
    with pytest.raises(UsageError, match="cannot be read"):
        read_stream(str(path), tokenizer)
    path.write_bytes(b"ab\xff")
    with pytest.raises(UsageError, match="not UTF-8 at byte 2"):
        read_stream(str(path), tokenizer)
