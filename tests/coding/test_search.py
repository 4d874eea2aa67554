"""The smallest verified candidate is chosen, and nothing is chosen that does not decode."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from artpack.coding.codecs import Stored, Zstd
from artpack.coding.groups import StreamGroup
from artpack.coding.layouts import Columns, Rows, SimilarRows
from artpack.coding.layouts.rare import similar_rows
from artpack.coding.pipeline import Pipeline
from artpack.coding.profiles import DEFAULT, FAST, MAX, PROFILES, Profile, profile_named
from artpack.coding.screening import encode
from artpack.coding.search import choose, choose_one
from artpack.coding.symbol_coders import Base5, Bits, Bytes, Rans
from artpack.errors import ArtpackError, UsageError
from artpack.stages import ConfiguredStage
from artpack.stages.symbols import Symbols


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
    choice = choose_one(group, profile)
    assert len(choice.coded.stored) == smallest


def test_structure_by_columns_is_found() -> None:
    profile = replace(FAST, entropy_coders=(Rans(),))
    choice = choose_one(StreamGroup((values(10_000),), 256), profile)
    assert choice.pipeline == Pipeline(Columns(), Bytes(), Zstd(level=3))
    assert len(choice.coded.stored) < 10_500


def test_ties_go_to_the_first_in_the_profile() -> None:
    profile = Profile("tie", (Rows(), Columns()), (Bits(),), (Bytes(),), (Stored(),), finalists=2)
    group = StreamGroup((np.arange(256, dtype=np.uint8).reshape(16, 16),), 256)
    choice = choose_one(group, profile)
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
    choice = choose_one(StreamGroup((gaussian(40, 40),), 63), profile)
    assert choice.pipeline == Pipeline(Rows(), Rans(), Stored())


def test_an_auction_of_liars_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    liar = Pipeline(Rows(), Bytes(), Forgetful())
    monkeypatch.setattr(Profile, "certain", lambda *_, **__: iter([liar]))
    monkeypatch.setattr(Profile, "screened", lambda *_, **__: iter([liar]))
    with pytest.raises(ArtpackError, match="no pipeline decoded"):
        choose_one(StreamGroup((gaussian(4, 4),), 63), FAST)


def test_after_the_deadline_only_the_first_candidate_is_tried() -> None:
    choice = choose_one(StreamGroup((values(10_000),), 256), FAST, deadline=0.0)
    assert choice.pipeline == Pipeline(Rows(), Rans(), Stored())
    others = [*FAST.certain(flat=False), *FAST.screened(256, flat=False)][1:]
    assert choice.skipped == len(others)


def test_a_stage_that_cannot_take_a_lot_does_not_bid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar_rows, "MAX_ROWS", 3)
    group = StreamGroup((gaussian(4, 8),), 63)
    assert encode(group, Pipeline(SimilarRows(), Bytes(), Stored()), None) is None
    choice = choose_one(group, MAX)
    assert choice.pipeline.layout != SimilarRows()


def test_like_parts_share_a_stream_and_unlike_ones_do_not() -> None:
    like = StreamGroup((gaussian(100, 100), gaussian(100, 100, seed=1)), 63)
    assert [group for group, _ in choose(like, FAST)] == [like]
    narrow = (gaussian(100, 100) // 8 + 28).astype(np.uint8)
    chosen = choose(StreamGroup((like.parts[0], narrow), 63), FAST)
    assert [group.parts for group, _ in chosen] == [(like.parts[0],), (narrow,)]


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
