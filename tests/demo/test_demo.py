"""The model that comes with the package is whole, and its texts are apart."""

import json
from pathlib import Path

import pytest
from sentencepiece import SentencePieceProcessor

from artpack.checkpoint import open_checkpoint
from artpack.demo import CALIBRATION, CHECKPOINT, CONFIG, FILES, HELD_OUT, TOKENIZER, write_demo
from artpack.evaluation.tokens.byte_check import check_bytes
from artpack.evaluation.tokens.documents import document_spans
from artpack.evaluation.tokens.shards import read_shard
from artpack.evaluation.tokens.stream import read_stream
from artpack.models import build, parameter_count, read_config

SMALLEST, LARGEST = 0.9e6, 1.2e6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the demo's files."""
    path = tmp_path_factory.mktemp("demo") / "new"
    write_demo(path)
    return path


def test_the_checkpoint_is_the_model_of_its_config(folder: Path) -> None:
    config = read_config(json.loads((folder / CONFIG).read_text()))
    assert SMALLEST < parameter_count(config) < LARGEST
    with open_checkpoint(folder / CHECKPOINT) as checkpoint:
        build(config, {info.name: checkpoint.read(info.name) for info in checkpoint.tensors})


def test_it_is_a_few_megabytes(folder: Path) -> None:
    assert sum((folder / name).stat().st_size for name in FILES) < 3 << 20


def test_no_chapter_is_on_both_sides(folder: Path) -> None:
    texts = []
    for name in (CALIBRATION, HELD_OUT):
        ids = read_shard(folder / name)
        texts.append({ids[a:b].tobytes() for a, b in document_spans(ids, 1)})
    assert len(texts[1]) > 20
    assert not texts[0] & texts[1]


def test_the_bytes_of_the_held_out_text_are_proven(folder: Path) -> None:
    tokenizer = SentencePieceProcessor(model_file=str(folder / TOKENIZER))
    stream = read_stream(str(folder / HELD_OUT), tokenizer)
    check = check_bytes(stream.ids, stream.byte_counts, tokenizer)
    assert check.mismatches == 0
    assert check.counted > 100_000
