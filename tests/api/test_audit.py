"""artpack.audit: what it finds, without a command line."""

from pathlib import Path

import numpy as np
import pytest

import artpack
from artpack import Sample, TttOptions, UsageError, WindowOptions
from artpack.evaluation.tokens.shards import write_shard
from tests.api.conftest import Scored, Told

WINDOWS = WindowOptions(window_tokens=32)
SCALARS = TttOptions(recipe="scalars", overrides=("chunk_tokens=64",))


@pytest.mark.parametrize(
    ("ttt", "ngram"), [(None, None), (SCALARS, None), (None, "learned"), (SCALARS, "published")]
)
def test_honest_scores_pass(
    scored: Scored, told: Told, ttt: TttOptions | None, ngram: str | None
) -> None:
    packed = artpack.compress(scored.model, recipe="int8", profile="fast")
    report = artpack.audit(
        packed,
        scored.stream,
        tokenizer=scored.tokenizer,
        windows=WINDOWS,
        ttt=ttt,
        ngram=ngram,
        sample=Sample(cuts=2, seed=7),
        limit_bytes=packed.size_bytes + 5,
        code_bytes=5,
        progress=told,
    )
    assert report.passed
    assert [one.name for one in report.conditions] == ["C1", "C2", "C3", "C4", "bytes", "size"]
    assert report.findings.audited_targets == scored.stream.ids.size - 1
    assert told.phases == {"auditing": [(1, 3), (2, 3), (3, 3)]}
    assert repr(report) == (
        "<AuditReport: passed; looked at C1, C2, C3, C4, bytes, size in"
        f" {scored.stream.ids.size - 1:,} targets>"
    )
    data = report.to_json()
    assert data["audit"]["sample"] == {"cuts": 2, "rows": 64, "seed": 7}
    assert (data["settings"]["ttt"] is None, data["settings"]["ngram"]) == (ttt is None, ngram)


def test_violations_are_found(scored: Scored, scored_files: Path, tmp_path: Path) -> None:
    write_shard(tmp_path / "train.bin", scored.stream.ids[:200])
    report = artpack.audit(
        scored_files / "ckpt.pt",
        str(scored_files / "val.bin"),
        tokenizer=scored_files / "sp.model",
        windows=WindowOptions(placement="pr576", window_tokens=32, stride_tokens=8),
        sample=Sample(cuts=1),
        train_tokens=tmp_path / "train.bin",
        limit_bytes=100,
    )
    assert not report.passed
    broken = {one.name for one in report.conditions if not one.passed}
    assert broken == {"C3", "C4", "overlap", "size"}
    assert repr(report).startswith("<AuditReport: FAILED C3, C4, overlap, size; looked at C1,")


def test_bytes_that_are_not_those_of_the_text_are_found(scored: Scored) -> None:
    wrong = np.ones_like(scored.stream.byte_counts)
    report = artpack.audit(
        scored.model,
        scored.stream.ids,
        tokenizer=scored.tokenizer,
        sidecar=wrong,
        windows=WindowOptions(window_tokens=32, limit_tokens=100),
        sample=Sample(cuts=1),
    )
    assert [one.name for one in report.conditions if not one.passed] == ["bytes"]
    assert report.findings.audited_targets == 100


def test_training_tokens_may_be_an_array(scored: Scored) -> None:
    ids = scored.stream.ids
    for training, passed in ((ids[:200], False), (np.array([1, 9, 9, 1, 8]), True)):
        report = artpack.audit(
            scored.model,
            scored.stream,
            tokenizer=scored.tokenizer,
            windows=WINDOWS,
            sample=Sample(cuts=1),
            train_tokens=training,
        )
        assert report.passed == passed
    overlap = artpack.audit(
        scored.model,
        scored.stream,
        tokenizer=scored.tokenizer,
        windows=WINDOWS,
        sample=Sample(cuts=1),
        train_tokens=ids,
    ).conditions[-1]
    assert "is in the training tokens at token 0" in overlap.violations[0]


def test_what_cannot_be_audited_is_named(scored: Scored) -> None:
    common = {"tokenizer": scored.tokenizer, "windows": WINDOWS}
    for more, words in (
        ({"ttt": TttOptions(two_pass=True)}, "leave `two_pass` and `attribute` out"),
        ({"ttt": TttOptions(state="state")}, "takes no `state`"),
        ({"limit_bytes": 100}, "these weights are in none"),
        ({"ngram": "none"}, "no weights of n-grams 'none'"),
    ):
        with pytest.raises(UsageError, match=words):
            artpack.audit(scored.model, scored.stream, **common, **more)  # type: ignore[call-overload]
