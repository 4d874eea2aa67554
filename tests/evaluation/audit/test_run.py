"""The audit passes what is honest and catches every cheat, by the condition that it breaks."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from artpack.errors import UsageError
from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.audit.denominator import judge_bytes
from artpack.evaluation.audit.overlap import judge_overlap
from artpack.evaluation.audit.run import audit_evaluator
from artpack.evaluation.audit.sample import Sample
from artpack.evaluation.audit.size import judge_size
from artpack.evaluation.scoring.evaluators import Evaluator, Mixed, Windowed
from artpack.evaluation.tokens.byte_counts import ByteTable
from artpack.evaluation.tokens.shards import write_shard
from artpack.evaluation.tokens.stream import Stream, tokenize_text
from artpack.evaluation.windows.placements import place
from artpack.runners.protocol import LanguageModel
from artpack.runners.settings import Settings
from tests.evaluation.cheats import (
    Backwards,
    Cheat,
    LooksAhead,
    Peeks,
    PublishedLookup,
    Rescores,
    Skips,
    UpdatesFirst,
    double_spaces,
    missing_bytes,
)

VOCABULARY = 40
TEXT = "the cat sat on the mat.\0The dog ran; a NASA rocket"
SAMPLE = Sample(cuts=3, rows=20)


@pytest.fixture(scope="module")
def stream() -> Stream:
    """Return three documents."""
    ids = np.random.default_rng(0).integers(2, VOCABULARY, size=301).astype(np.uint16)
    ids[[0, 90, 230]] = 1
    return Stream(ids, np.ones(ids.size, np.int64))


@pytest.fixture(scope="module")
def sliding(fading: Callable[..., LanguageModel]) -> Callable[..., Windowed]:
    """Return the maker of honest evaluators in windows."""
    model = fading(VOCABULARY)

    def make(placement: str = "sliding") -> Windowed:
        settings = Settings(batch_tokens=2048)
        return Windowed(model, lambda s: place(placement, s.ids, 16, 4), VOCABULARY, settings)

    return make


def broken(evaluator: Evaluator, stream: Stream, sample: Sample = SAMPLE) -> set[str]:
    """Return the conditions that an evaluator breaks."""
    return {c.name for c in audit_evaluator(evaluator, stream, sample, exact=True) if not c.passed}


@pytest.mark.parametrize("placement", ["sequential", "sliding", "documents"])
@pytest.mark.parametrize("mixer", [None, "learned", "published"])
def test_honest_evaluators_pass(
    sliding: Callable[..., Windowed], stream: Stream, placement: str, mixer: str | None
) -> None:
    evaluator = sliding(placement)
    assert broken(evaluator if mixer is None else Mixed(evaluator, mixer), stream) == set()


@pytest.mark.parametrize(
    ("cheat", "conditions"),
    [
        (Peeks, {"C1", "C2"}),
        (LooksAhead, {"C1", "C2"}),
        (UpdatesFirst, {"C1", "C2", "C3"}),
        (lambda honest: UpdatesFirst(honest, admits=False), {"C1", "C2"}),
        (PublishedLookup, {"C2"}),
        (Rescores, {"C1", "C2", "C3", "C4"}),
        (lambda honest: Rescores(honest, chooses=True), {"C1", "C2"}),
        (Skips, {"C3"}),
        (Backwards, {"C1", "C4"}),
    ],
)
def test_cheats_are_caught(
    sliding: Callable[..., Windowed],
    stream: Stream,
    cheat: Callable[[Evaluator], Cheat],
    conditions: set[str],
) -> None:
    assert broken(cheat(sliding()), stream) == conditions


def test_published_tails_are_scored_again(sliding: Callable[..., Windowed], stream: Stream) -> None:
    assert broken(sliding("pr576"), stream) == {"C3", "C4"}


def test_replaced_tokens_are_all_others_and_no_documents(stream: Stream) -> None:
    later = np.arange(300) >= 100
    other = SAMPLE.replaced(stream, later, VOCABULARY).ids
    starts = stream.ids == 1
    assert (other[:101] == stream.ids[:101]).all()
    assert ((other == stream.ids) == (starts | (np.arange(301) < 101))).all()
    assert other.max() < VOCABULARY


def test_samples_depend_on_the_seed_alone(stream: Stream) -> None:
    assert SAMPLE.draw_cuts(stream) == Sample(cuts=3, rows=5).draw_cuts(stream)
    assert SAMPLE.draw_rows(stream) != Sample(rows=20, seed=1).draw_rows(stream)


def test_a_stream_can_be_too_short(sliding: Callable[..., Windowed], stream: Stream) -> None:
    with pytest.raises(UsageError, match="2 tokens are too few to sample 3"):
        audit_evaluator(sliding(), stream.first(2), SAMPLE, exact=True)


def test_violations_say_where(sliding: Callable[..., Windowed], stream: Stream) -> None:
    causality = audit_evaluator(Peeks(sliding()), stream, Sample(cuts=1), exact=True)[0]
    (cut,) = Sample(cuts=1).draw_cuts(stream)
    assert causality.count == 1
    assert causality.violations[0].startswith(
        f"replacing what is scored from target {cut} on changes 1 distributions,"
    )


@pytest.fixture(scope="module")
def text(tokenizer: SentencePieceProcessor) -> Stream:
    """Return the tokens of two documents."""
    return tokenize_text(TEXT, tokenizer)


def test_bytes_are_those_of_the_text(tokenizer: SentencePieceProcessor, text: Stream) -> None:
    finding, hashes = judge_bytes(text, tokenizer)
    assert finding.passed
    assert hashes["text"] == sha256(TEXT.encode()).hexdigest()


@pytest.mark.parametrize("cheat", ["double", "missing"])
def test_wrong_bytes_are_caught(
    tokenizer: SentencePieceProcessor, text: Stream, cheat: str
) -> None:
    table = ByteTable.from_tokenizer(tokenizer)
    wrong = double_spaces(text, table.leading_space) if cheat == "double" else missing_bytes(text)
    assert judge_bytes(wrong, tokenizer)[0].violations[0].startswith("2 documents:")


def test_documents_of_training_are_found(text: Stream, tmp_path: Path) -> None:
    clean, dirty = tmp_path / "train_0.bin", tmp_path / "train_1.bin"
    write_shard(clean, np.array([1, 9, 9, 1, 1, 8], np.uint16))
    write_shard(dirty, np.append([1, 9, 9], text.ids))
    assert judge_overlap(text, [clean]).passed
    finding = judge_overlap(text, [clean, dirty])
    assert finding.count == 2
    assert (
        finding.violations[0] == "the document at token 0 is in train_1.bin at token 3: 100% of it"
    )


def test_size_has_a_limit() -> None:
    assert judge_size(90, 10, 100).passed
    assert not judge_size(90, 11, 100).passed


def test_findings_show_the_first_violations() -> None:
    finding = Condition.judge("C1", "rule", "checked", map(str, range(9)))
    assert (finding.violations, finding.count) == (("0", "1", "2", "3", "4"), 9)
