"""The smallest verified candidate is chosen, whoever runs them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from artpack.coding.codecs import Stored, Zstd
from artpack.coding.layouts import Columns, Rows, SimilarRows
from artpack.coding.layouts.rare import similar_rows
from artpack.coding.pipeline import Coded, Pipeline
from artpack.coding.profiles import DEFAULT, FAST, MAX, PROFILES, Profile, profile_named
from artpack.coding.search import (
    SAMPLE_SYMBOLS,
    StreamGroup,
    Streams,
    choose,
    choose_each,
    encode,
)
from artpack.coding.symbol_coders import Base5, Bits, Bytes, Rans
from artpack.errors import ArtpackError, UsageError
from artpack.stages import ConfiguredStage
from artpack.stages.symbols import Symbols
from artpack.system.workers import Workers


def gaussian(rows: int, cols: int, *, radius: int = 31, seed: int = 0) -> Symbols:
    codes = np.random.default_rng(seed).normal(0, 2.4, (rows, cols)).round()
    return (codes.clip(-radius, radius) + radius).astype(np.uint8)


def values(count: int) -> Symbols:
    """Two bytes a value, one all noise, the other nearly constant: a case for the byte shuffle."""
    chance = np.random.default_rng(1)
    noise, nearly = chance.integers(0, 256, count), 60 + (chance.random(count) < 0.01)
    return np.stack([noise, nearly], axis=1).astype(np.uint8)


@pytest.mark.parametrize("profile", [FAST, DEFAULT, MAX], ids=lambda profile: profile.name)
def test_the_award_is_the_smallest_of_all_bids_on_a_small_lot(profile: Profile) -> None:
    group = StreamGroup((gaussian(30, 40), gaussian(20, 40, seed=1)), 63)
    everyone = [*profile.certain(flat=False), *profile.screened(63, flat=False)]
    streams = [encode(group, pipeline, None) for pipeline in everyone]
    smallest = min(len(coded.stored) for coded in streams if coded is not None)
    (choice,) = choose_each([group], profile, Workers().run)
    assert len(choice.coded.stored) == smallest


def test_structure_by_columns_is_found() -> None:
    profile = replace(FAST, entropy_coders=(Rans(),))
    (choice,) = choose_each([StreamGroup((values(10_000),), 256)], profile, Workers().run)
    assert choice.pipeline == Pipeline(Columns(), Bytes(), Zstd(level=3))
    assert len(choice.coded.stored) < 10_500


def test_workers_do_not_change_the_award() -> None:
    groups = [StreamGroup((gaussian(100, 50, seed=s),), 63) for s in range(3)]
    alone = choose_each(groups, FAST, Workers(1).run)
    assert choose_each(groups, FAST, Workers(2).run) == alone


def test_ties_go_to_the_first_in_the_profile() -> None:
    profile = Profile("tie", (Rows(), Columns()), (Bits(),), (Bytes(),), (Stored(),), finalists=2)
    group = StreamGroup((np.arange(256, dtype=np.uint8).reshape(16, 16),), 256)
    (choice,) = choose_each([group], profile, Workers().run)
    assert choice.pipeline == Pipeline(Rows(), Bits(), Stored())


@dataclass(frozen=True)
class Forgetful(ConfiguredStage):
    """A codec that is very good at encoding."""

    stage_id: ClassVar[str] = "forgetful"

    def encode(self, data: bytes) -> bytes:  # noqa: ARG002
        return b""

    def decode(self, data: bytes, *, size: int) -> bytes:  # noqa: ARG002
        return bytes(size)


def test_a_bid_that_does_not_decode_to_what_went_in_cannot_win() -> None:
    profile = Profile("liar", (Rows(),), (Rans(),), (Bytes(),), (Forgetful(),), finalists=2)
    (choice,) = choose_each([StreamGroup((gaussian(40, 40),), 63)], profile, Workers().run)
    assert choice.pipeline == Pipeline(Rows(), Rans(), Stored())


def test_an_auction_of_liars_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    liar = Pipeline(Rows(), Bytes(), Forgetful())
    monkeypatch.setattr(Profile, "certain", lambda *_, **__: iter([liar]))
    monkeypatch.setattr(Profile, "screened", lambda *_, **__: iter([liar]))
    with pytest.raises(ArtpackError, match="no pipeline decoded"):
        choose_each([StreamGroup((gaussian(4, 4),), 63)], FAST, Workers().run)


def test_after_the_deadline_only_the_first_candidate_is_tried() -> None:
    (choice,) = choose_each(
        [StreamGroup((values(10_000),), 256)], FAST, Workers().run, deadline=0.0
    )
    assert choice.pipeline == Pipeline(Rows(), Rans(), Stored())
    others = [*FAST.certain(flat=False), *FAST.screened(256, flat=False)][1:]
    assert choice.skipped == len(others)


def test_a_stage_that_cannot_take_a_lot_does_not_bid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar_rows, "MAX_ROWS", 3)
    group = StreamGroup((gaussian(4, 8),), 63)
    assert encode(group, Pipeline(SimilarRows(), Bytes(), Stored()), None) is None
    (choice,) = choose_each([group], MAX, Workers().run)
    assert choice.pipeline.layout != SimilarRows()


def test_like_parts_share_a_stream_and_unlike_ones_do_not() -> None:
    like = StreamGroup((gaussian(100, 100), gaussian(100, 100, seed=1)), 63)
    assert [group for group, _ in choose(like, FAST, Workers().run)] == [like]
    narrow = (gaussian(100, 100) // 8 + 28).astype(np.uint8)
    chosen = choose(StreamGroup((like.parts[0], narrow), 63), FAST, Workers().run)
    assert [group.parts for group, _ in chosen] == [(like.parts[0],), (narrow,)]


def test_large_lots_are_screened_and_small_ones_are_not() -> None:
    calls: list[int] = []

    def run(function: Callable[..., Coded | None], tasks: Sequence[tuple[Any, ...]]) -> Streams:
        calls.append(len(tasks))
        return Workers().run(function, tasks)

    certain = len(list(DEFAULT.certain(flat=False)))
    screened = len(list(DEFAULT.screened(256, flat=False)))
    choose_each([StreamGroup((values(100),), 256)], DEFAULT, run)
    choose_each([StreamGroup((values(SAMPLE_SYMBOLS),), 256)], DEFAULT, run)
    assert calls == [0, certain + screened, screened, certain + DEFAULT.finalists]


def test_only_packings_that_take_the_alphabet_bid() -> None:
    coders = {type(pipeline.coder) for pipeline in MAX.screened(63, flat=False)}
    assert Base5 not in coders
    assert Base5 in {type(pipeline.coder) for pipeline in MAX.screened(5, flat=False)}


def test_flat_lots_are_laid_out_one_way_only() -> None:
    pipelines = [*MAX.certain(flat=True), *MAX.screened(63, flat=True)]
    assert {type(pipeline.layout) for pipeline in pipelines} == {Rows}


def test_profiles_are_found_by_name() -> None:
    assert [profile_named(name) for name in PROFILES] == [FAST, DEFAULT, MAX]
    with pytest.raises(UsageError, match="did you mean 'default'"):
        profile_named("defualt")


def test_a_draft_hears_of_large_lots_rans_and_the_adaptive_coder_alone() -> None:
    tried: list[int] = []

    def run(function: Callable[..., Any], tasks: Sequence[tuple[object, ...]]) -> list[Any]:
        tried.append(len(tasks))
        return Workers().run(function, tasks)

    choose(StreamGroup((gaussian(400, 200),), 63), DEFAULT.draft(), run)
    choose(StreamGroup((gaussian(40, 20),), 63), DEFAULT.draft(), run)

    screened = len(list(DEFAULT.screened(63, flat=False)))
    assert tried == [0, 2, 0, 2 + screened]
