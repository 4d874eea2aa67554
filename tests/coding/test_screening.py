"""What samples choose is within a two-thousandth of what all candidates on all symbols give."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from artpack.coding.groups import StreamGroup
from artpack.coding.layouts import Columns, SimilarRows
from artpack.coding.profiles import DEFAULT, MAX
from artpack.coding.screening import WORTHWHILE, encode, finalists
from artpack.coding.search import UNSURE_BYTES, choose_one, expected_bytes
from artpack.coding.symbol_coders import Adaptive, Bytes, ClassedRans, Rans
from artpack.stages.symbols import Symbols

SHAPE = (480, 300)
RADIUS = 31


def rounded(values: NDArray[np.float64]) -> Symbols:
    return (values.round().clip(-RADIUS, RADIUS) + RADIUS).astype(np.uint8)


def normal(seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, 2.4, SHAPE)


def group_of(symbols: Symbols) -> StreamGroup:
    """Return a group of one part, with 0 in the middle of its alphabet if it is of weights."""
    largest = int(symbols.max())
    return StreamGroup((symbols,), 3 if largest < 3 else 2 * RADIUS + 1 if largest < 63 else 256)


def scaled() -> Symbols:
    """Rows and columns of different sizes: for the adaptive coder."""
    chance = np.random.default_rng(1)
    return rounded(normal() * np.exp(0.5 * chance.normal(size=SHAPE[1])))


def blocks() -> Symbols:
    """Sizes that change along the rows, in runs: for classes."""
    sizes = np.repeat(np.random.default_rng(2).uniform(0.2, 2, SHAPE[0] // 40), 40)
    return rounded(normal() * sizes[:, None])


def exponents() -> Symbols:
    """Upper bytes of bf16."""
    values = normal().astype(np.float32).view(np.uint32) >> 24
    return values.astype(np.uint8)


def noise() -> Symbols:
    return np.random.default_rng(3).integers(0, 256, SHAPE).astype(np.uint8)


def ternary() -> Symbols:
    return np.random.default_rng(4).choice(3, SHAPE, p=[0.2, 0.6, 0.2]).astype(np.uint8)


def smooth() -> Symbols:
    """Neighbours in a column are alike: only contexts see it."""
    return rounded(np.cumsum(normal(5) / 3, axis=0) % 40 - 20)


def repeated() -> Symbols:
    """A few rows again and again, far apart."""
    return rounded(normal(6))[np.random.default_rng(7).integers(0, 350, SHAPE[0])]


CASES = (scaled, blocks, exponents, noise, ternary, smooth, repeated, lambda: rounded(normal()))


@pytest.mark.parametrize("make", CASES)
def test_samples_choose_nearly_what_all_symbols_would(make: Callable[[], Symbols]) -> None:
    group = group_of(make())
    everyone = [*DEFAULT.certain(flat=False), *DEFAULT.screened(63, flat=False)]
    sizes = [len(coded.stored) for one in everyone if (coded := encode(group, one, None))]
    chosen = choose_one(group, DEFAULT)
    assert min(sizes) <= len(chosen.coded.stored) <= (1 + WORTHWHILE) * min(sizes)


@pytest.mark.parametrize("make", CASES)
def test_few_candidates_code_all_symbols(make: Callable[[], Symbols]) -> None:
    left = finalists(group_of(make()), DEFAULT, None).pipelines
    slow = [one for one in left if isinstance(one.coder, Bytes)]
    assert len(left) - len(slow) <= 4
    assert bool(slow) == (make in {blocks, smooth, repeated})


def test_codecs_are_tried_in_the_order_in_which_contexts_help() -> None:
    left = finalists(group_of(smooth()), DEFAULT, None).pipelines
    screened = [one for one in left if one not in DEFAULT.alike]
    assert {one.layout for one in screened if isinstance(one.coder, Bytes)} == {Columns()}


def test_the_exhaustive_profile_drops_no_entropy_coder() -> None:
    exhaustive = replace(DEFAULT, exhaustive=True)
    left = finalists(group_of(noise()), exhaustive, None).pipelines
    certain = list(exhaustive.certain(flat=False))
    assert MAX.exhaustive
    assert left[: len(certain)] == certain
    assert len(left) == len(certain) + exhaustive.finalists
    assert {type(one.coder) for one in certain} == {Rans, ClassedRans, Adaptive}


def test_rows_are_sorted_where_they_resemble_each_other() -> None:
    """As embeddings of related words do, far apart in the table."""
    chance = np.random.default_rng(9)
    words = chance.normal(0, 2.4, (60, 300))[chance.permutation(np.arange(480) % 60)]
    alike = group_of(rounded(words + chance.normal(0, 0.8, words.shape)))
    assert {one.layout for one in DEFAULT.alike} == {SimilarRows()}
    assert set(DEFAULT.alike) <= set(finalists(alike, DEFAULT, None).pipelines)
    assert choose_one(alike, DEFAULT).pipeline in DEFAULT.alike
    for make in (scaled, blocks, noise, ternary):
        assert not set(DEFAULT.alike) & set(finalists(group_of(make()), DEFAULT, None).pipelines)


def test_after_the_deadline_one_candidate_is_left() -> None:
    left = finalists(group_of(scaled()), DEFAULT, 0.0)
    assert left.pipelines == list(DEFAULT.certain(flat=False))[:1]


@pytest.mark.parametrize("make", CASES)
def test_expected_bytes_are_those_of_rans_or_the_adaptive_coder(
    make: Callable[[], Symbols],
) -> None:
    group = group_of(make())
    (symbols,) = group.parts
    rans = len(Rans().encode(symbols.ravel(), alphabet=group.alphabet))
    adaptive = len(Adaptive().encode_matrices([symbols], alphabet=group.alphabet))
    assert abs(min(rans, adaptive) - expected_bytes(group)) <= UNSURE_BYTES
