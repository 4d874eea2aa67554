"""Text to shards: what is held out, what a token stands for, what is written."""

from pathlib import Path

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from artpack.errors import UsageError
from artpack.evaluation.tokens.byte_check import check_bytes
from artpack.evaluation.tokens.caseops import knows_operators
from artpack.evaluation.tokens.shards import read_shard, read_tokens
from artpack.training.data import read_data
from artpack.training.tokenize import split_documents, train_tokenizer, write_dataset

from .conftest import documents


def test_copies_of_a_document_are_on_one_side() -> None:
    texts = documents(200)
    split = split_documents(
        ["\0".join(texts), "\0".join(t + "\n " for t in texts)], held_out_share=0.3
    )
    sides = [{" ".join(text.split()) for text in side} for side in (split.train, split.held_out)]
    assert not sides[0] & sides[1]
    assert len(split.train) + len(split.held_out) == 400
    assert 0.2 < len(split.held_out) / 400 < 0.4


def test_a_document_stays_on_its_side_when_others_come() -> None:
    few = split_documents(["\0".join(documents(200)[:100])], held_out_share=0.3)
    many = split_documents(["\0".join(documents(200))], held_out_share=0.3)
    assert set(few.held_out) <= set(many.held_out)


def test_one_document_cannot_be_split() -> None:
    with pytest.raises(UsageError, match="1 documents to train on and 0 held out"):
        split_documents(["only one"], held_out_share=0.1)


@pytest.mark.parametrize("case_ops", [False, True])
def test_the_tokenizer_has_the_ids_of_the_seeds(*, case_ops: bool) -> None:
    model = train_tokenizer(documents(20), 300, case_ops=case_ops)
    tokenizer = SentencePieceProcessor(model_proto=model)
    assert [tokenizer.id_to_piece(i) for i in range(4)] == ["<pad>", "<s>", "</s>", "<unk>"]
    assert tokenizer.is_byte(8 if case_ops else 4)
    assert knows_operators(tokenizer) == case_ops
    assert model == train_tokenizer(documents(20), 300, case_ops=case_ops)


def test_a_vocabulary_below_the_bytes_is_refused() -> None:
    with pytest.raises(UsageError, match="no vocabulary of 100 from this text: "):
        train_tokenizer(documents(20), 100)


@pytest.mark.parametrize("case_ops", [False, True])
def test_tokens_stand_for_the_text(tmp_path: Path, *, case_ops: bool) -> None:
    texts = [text.title() for text in documents(60)]
    split = split_documents(["\0".join(texts)], held_out_share=0.2)
    model = train_tokenizer(split.train, 320, case_ops=case_ops)
    sizes = write_dataset(tmp_path / "new", split, model, shard_tokens=500)
    data = read_data(tmp_path / "new")
    held_out = data.held_out
    assert sizes["val_tokens"] == held_out.ids.size
    assert sizes["train_tokens"] == data.tokens
    assert [shard.size for shard in data.shards][:-1] == [500] * (len(data.shards) - 1)
    tokenizer = SentencePieceProcessor(model_proto=model)
    check = check_bytes(held_out.ids, held_out.byte_counts, tokenizer, texts=split.held_out)
    assert check.sound
    assert check.decoded == sum(len(text.encode()) for text in split.held_out)


def test_sidecars_are_beside_their_shards(data_folder: Path) -> None:
    sidecars = sorted(data_folder.glob("text_val_bytes_*.bin"))
    shards = sorted(set(data_folder.glob("text_val_*.bin")) - set(sidecars))
    assert [read_shard(p).size for p in sidecars] == [read_shard(p).size for p in shards]
    assert np.all(read_tokens(str(shards[0])) < 300)


def test_a_dataset_is_not_written_over_another(data_folder: Path) -> None:
    split = split_documents(["\0".join(documents(40))], held_out_share=0.3)
    with pytest.raises(UsageError, match="there are shards already"):
        write_dataset(data_folder, split, train_tokenizer(split.train, 300))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"0 files \*\.model; one tokenizer is needed"):
        read_data(tmp_path)
