"""Documents of training are found though they were changed, and others are not."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from artpack.evaluation.audit.overlap import (
    GRAM_TOKENS,
    RUN_TOKENS,
    fingerprints,
    judge_overlap,
)
from artpack.evaluation.tokens.shards import write_shard
from artpack.evaluation.tokens.stream import Stream

VOCABULARY = 1024


def documents(lengths: list[int], seed: int) -> list[NDArray[np.int64]]:
    """Draw documents."""
    draw = np.random.default_rng(seed)
    return [draw.integers(4, VOCABULARY, length) for length in lengths]


def joined(parts: list[NDArray[np.int64]]) -> NDArray[np.uint16]:
    """Put BOS before each."""
    return np.concatenate([np.append(1, part) for part in parts]).astype(np.uint16)


def stream_of(parts: list[NDArray[np.int64]]) -> Stream:
    ids = joined(parts)
    return Stream(ids, np.ones(ids.size, np.int64))


LENGTHS = [3, 8, 9, 20, 33, 63, 64, 65, 100, 400]


@pytest.fixture
def scored() -> list[NDArray[np.int64]]:
    return documents(LENGTHS, 0)


def test_other_documents_share_nothing(scored: list[NDArray[np.int64]], tmp_path: Path) -> None:
    write_shard(tmp_path / "train.bin", joined(documents(LENGTHS * 20, 1)))
    finding = judge_overlap(stream_of(scored), [tmp_path / "train.bin"])
    assert finding.passed
    assert finding.numbers == {"shared_tokens": 0.0}


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_changed_token_hides_no_document(
    scored: list[NDArray[np.int64]], tmp_path: Path, place: str
) -> None:
    changed = [part.copy() for part in scored]
    for part in changed[1:]:
        at = {"first": 0, "middle": part.size // 2, "last": -1}[place]
        part[at] = 3
    others = documents([50, 300], 2)
    write_shard(tmp_path / "a.bin", joined(others))
    write_shard(tmp_path / "b.bin", joined([others[0], *changed[::-1]]))
    finding = judge_overlap(stream_of(scored), [tmp_path / "a.bin", tmp_path / "b.bin"])
    assert finding.count == len(scored)
    assert finding.numbers["shared_tokens"] > 0.9
    assert finding.violations[0] == (
        f"the document at token 0 is in b.bin at token {51 + sum(LENGTHS) + len(LENGTHS) - 4}:"
        " 100% of it"
    )


def test_every_copy_is_found_wherever_its_token_changes(tmp_path: Path) -> None:
    (own,) = documents([64], 3)
    for at in range(64):
        copy = own.copy()
        copy[at] = 3
        write_shard(tmp_path / "train.bin", joined([*documents([5], 4), copy]))
        assert judge_overlap(stream_of([own]), [tmp_path / "train.bin"]).count == 1


@pytest.mark.parametrize("change", ["dropped", "added", "amid others", "few changes"])
def test_edited_copies_are_found(tmp_path: Path, change: str) -> None:
    (own,), (other,) = documents([200], 5), documents([500], 6)
    copy = {
        "dropped": np.delete(own, [60, 130]),
        "added": np.insert(own, [60, 130], 3),
        "amid others": np.concatenate([other, own, other]),
        "few changes": np.where(np.arange(200) % 45 == 44, 3, own),
    }[change]
    write_shard(tmp_path / "train.bin", joined([other, copy]))
    assert judge_overlap(stream_of([own]), [tmp_path / "train.bin"]).count == 1


def test_a_quotation_is_a_share_and_no_violation(tmp_path: Path) -> None:
    (own,), (other,) = documents([300], 7), documents([400], 8)
    other[100:160] = own[50:110]
    write_shard(tmp_path / "train.bin", joined([other]))
    finding = judge_overlap(stream_of([own]), [tmp_path / "train.bin"])
    assert finding.passed
    assert (60 - 2 * (RUN_TOKENS - GRAM_TOKENS)) / 300 <= finding.numbers["shared_tokens"] <= 0.2


def test_runs_of_the_promised_length_keep_a_common_gram() -> None:
    draw = np.random.default_rng(9)
    for _ in range(50):
        run = draw.integers(4, VOCABULARY, RUN_TOKENS)
        two = [np.concatenate([draw.integers(4, VOCABULARY, 70), run, [5] * n]) for n in (40, 50)]
        kept = [set(fingerprints(joined([part]), 1).hashes.tolist()) for part in two]
        assert kept[0] & kept[1]


def test_no_gram_goes_across_documents() -> None:
    parts = documents([90, 90], 10)
    prints = fingerprints(joined(parts), 1)
    assert not ((prints.first <= 91) & (prints.end > 91)).any()
    assert fingerprints(np.array([1, 1], np.uint16), 1).hashes.size == 0
