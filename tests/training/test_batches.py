"""Batches follow from their number."""

import numpy as np
import pytest

from artpack.errors import UsageError
from artpack.training.batches import Loader
from artpack.training.settings import Batches

IDS = np.arange(1000, dtype=np.uint16)


def starts(loader: Loader, steps: int, passes: int) -> list[int]:
    return [
        int(row[0])
        for step in range(steps)
        for number in range(passes)
        for row in loader.batch(step, number).ids
    ]


def test_targets_are_the_next_tokens() -> None:
    loader = Loader(IDS, Batches(tokens=64, window_tokens=16, micro_tokens=32), seed=0)
    batch = loader.batch(3, 1)
    assert batch.ids.shape == (2, 16)
    assert (batch.targets == batch.ids + 1).all()
    assert batch.documents is None


def test_sequential_rows_follow_each_other_and_start_again() -> None:
    loader = Loader(IDS, Batches(tokens=64, window_tokens=16), seed=0)
    found = starts(loader, 20, 4)
    assert loader.rows == 61
    assert found == [16 * (row % 61) for row in range(80)]


def test_a_shuffled_pass_reads_every_row_once_from_an_offset() -> None:
    loader = Loader(IDS, Batches(tokens=61 * 16, window_tokens=16, order="shuffled"), seed=0)
    first, second = (starts(loader, 2, 61)[part] for part in (slice(61), slice(61, 122)))
    offsets = [min(found) for found in (first, second)]
    for found, offset in zip((first, second), offsets, strict=True):
        assert sorted(found) == [offset + 16 * row for row in range(61)]
        assert found != sorted(found)
    assert first != second
    assert all(0 <= offset < 16 for offset in offsets)


def test_a_batch_does_not_depend_on_what_was_read_before() -> None:
    batches = Batches(tokens=128, window_tokens=16, micro_tokens=32, order="shuffled")
    read, fresh = (Loader(IDS, batches, seed=5) for _ in range(2))
    starts(read, 12, 4)
    assert fresh.batch(9, 2).ids.equal(read.batch(9, 2).ids)


def test_tokens_from_a_step_on_are_those_of_its_batches() -> None:
    batches = Batches(tokens=64, window_tokens=16, micro_tokens=32, order="shuffled")
    loader = Loader(IDS, batches, seed=5)
    read = [loader.batch(step, number).ids for step in (13, 14) for number in (0, 1)]
    found = Loader(IDS, batches, seed=5).tokens_from(13, 100)
    assert found.tolist() == np.concatenate([ids.numpy().ravel() for ids in read])[:112].tolist()


def test_documents_start_at_bos() -> None:
    ids = np.where(np.arange(200) % 10 == 3, 1, 7).astype(np.uint16)
    loader = Loader(ids, Batches(tokens=40, window_tokens=20, documents=True), seed=0)
    documents = loader.batch(0, 0).documents
    assert documents is not None
    assert documents.starts.nonzero()[:, 1].tolist() == [0, 3, 13]


def test_text_shorter_than_two_rows_is_refused() -> None:
    with pytest.raises(UsageError, match="33 tokens of training text are less than two rows"):
        Loader(IDS[:33], Batches(tokens=32, window_tokens=32), seed=0)


def test_a_step_is_whole_passes_of_whole_rows() -> None:
    with pytest.raises(UsageError, match="100 tokens are not whole passes of 32 tokens"):
        Batches(tokens=100, window_tokens=16, micro_tokens=32)
