"""
The candidates that are worth coding a whole group with, found on samples.

Entropy coders run heats on samples, each larger than the one before; those that fall behind
are out. Static rANS need not run: its length is known from a histogram. Byte codecs are slow,
so they are tried only where contexts or repeated rows say that they may see what entropy coders
do not.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from artpack.coding.codecs import Stored
from artpack.coding.contexts import context_bits, repeated_rows, row_distance
from artpack.coding.groups import SAMPLE_SYMBOLS, StreamGroup
from artpack.coding.pipeline import Coded, Pipeline
from artpack.coding.profiles import Profile
from artpack.coding.symbol_coders import Adaptive, ClassedRans, Rans
from artpack.coding.symbol_coders.rans import MOST_TAIL_SYMBOLS
from artpack.errors import UsageError
from artpack.stages import Layout
from artpack.stages.symbols import Symbols, histogram


class Heat(NamedTuple):
    """
    A sample that entropy coders code.

    Attributes:
        symbols: How many.
        margin: By what share of the least a coder may be longer there and still have a chance.
    """

    symbols: int
    margin: float


HEATS = (Heat(SAMPLE_SYMBOLS, 0.02), Heat(1 << 18, 0.002))

FEW_SYMBOLS = 1 << 14
"""In smaller groups nothing is dropped: everything is quick."""

LONG_FLAT_SYMBOLS = 1 << 18
"""In longer parts without rows and columns the adaptive coder, which takes long, is left out: it
has nothing to see there that classes do not."""

WORTHWHILE = 5e-4
"""What must be saved on a sample, as a share, to do what takes long on all symbols."""

CONTEXT_HOPE = 0.01
"""By what share codecs may be better than plain counts in contexts."""

LIKE = 0.9
"""How near a row's nearest must be, as a share of all distances, to sort rows by it."""

SORTING_EFFORT = 1 << 30
"""Symbols times rows from which on sorting takes too long; half a second here."""

MANY_REPEATS = 0.01
"""Share of rows that occur again from which on codecs are tried whatever samples say."""

RANS = Rans()


@dataclass(frozen=True)
class Finalists:
    """
    What codes a whole group.

    Attributes:
        pipelines: The candidates that are left.
        skipped: How many others a deadline cut off.
    """

    pipelines: list[Pipeline]
    skipped: int = 0


@dataclass(frozen=True)
class _Tried:
    """Bytes and pipelines, the smallest first, of equal ones the first; what was cut off."""

    sizes: list[tuple[int, Pipeline]]
    skipped: int

    @property
    def least(self) -> int:
        """Bytes of the smallest; 0 if all were cut off."""
        return self.sizes[0][0] if self.sizes else 0

    def within(self, margin: float) -> list[Pipeline]:
        """Return those that are longer than the smallest by no more than a share of it."""
        return [pipeline for size, pipeline in self.sizes if size <= (1 + margin) * self.least]


def finalists(group: StreamGroup, profile: Profile, deadline: float | None) -> Finalists:
    """
    Drop the candidates that lose on samples.

    Args:
        group: What is to be coded.
        profile: The candidates.
        deadline: Seconds since the epoch, after which nothing is tried; or None.

    Returns:
        What is left: all, if the group is small; at least one.

    """
    certain = list(profile.certain(group.states, flat=group.flat))
    screened = list(profile.screened(group.alphabet, flat=group.flat))
    if group.symbols <= FEW_SYMBOLS or (profile.exhaustive and not group.large):
        return Finalists(certain + screened)
    if not profile.exhaustive:
        return _promising(group, certain, screened, profile, deadline)
    tried = _try(group.sample(), screened, deadline)
    best = [pipeline for _, pipeline in tried.sizes[: profile.finalists]]
    return Finalists(certain + best, tried.skipped)


def _promising(
    group: StreamGroup,
    certain: list[Pipeline],
    screened: list[Pipeline],
    profile: Profile,
    deadline: float | None,
) -> Finalists:
    sample = group.sample()
    if group.flat and group.symbols > LONG_FLAT_SYMBOLS:
        certain = [one for one in certain if not isinstance(one.coder, Adaptive)]
    first = _try(sample, certain, deadline)
    left = _heats(group, first, certain, deadline)
    repeats = repeated_rows(group.parts) > MANY_REPEATS
    hopeful = screened if repeats else _hopeful(sample, screened, first)
    tried = _try(sample, hopeful, deadline)
    best = [
        pipeline
        for size, pipeline in tried.sizes[: profile.finalists]
        if size < (1 if sample is group else 1 - WORTHWHILE) * first.least
        or (repeats and sample is not group)
    ]
    if not repeats:
        best = _confirmed(group, left.pipelines, best, deadline)
    alike = list(profile.alike) if _has_like_rows(group) else []
    return Finalists(left.pipelines + best + alike, left.skipped + tried.skipped)


def _has_like_rows(group: StreamGroup) -> bool:
    """Return whether it pays to sort rows, as far as a few rows and columns tell."""
    most = max(group.parts, key=lambda part: part.size)
    effort = sum(len(part) * part.size for part in group.parts)
    return effort <= SORTING_EFFORT and row_distance(most) < LIKE


def _confirmed(
    group: StreamGroup, coders: list[Pipeline], codecs: list[Pipeline], deadline: float | None
) -> list[Pipeline]:
    """Return the codecs that still win when coders have seen more."""
    heat = HEATS[-1]
    if not codecs or 2 * heat.symbols >= group.symbols:
        return codecs
    sample = group.sample(heat.symbols)
    least = _try(sample, coders, deadline).least
    tried = _try(sample, codecs, deadline)
    return [pipeline for size, pipeline in tried.sizes if size < (1 - WORTHWHILE) * least]


def _heats(
    group: StreamGroup, tried: _Tried, coders: list[Pipeline], deadline: float | None
) -> Finalists:
    """Return the entropy coders that may win: at least the first, cut off or not."""
    left, skipped = tried.within(HEATS[0].margin if group.large else 0.0), tried.skipped
    left = _without_doubles(left)
    for heat in HEATS[1:]:
        if len(left) > 1 and 2 * heat.symbols < group.symbols:
            tried = _try(group.sample(heat.symbols), left, deadline)
            left, skipped = tried.within(heat.margin), skipped + tried.skipped
    return Finalists(left or coders[:1], min(skipped, len(coders) - 1))


def _without_doubles(best_first: list[Pipeline]) -> list[Pipeline]:
    """Leave out static rANS behind classes, which include it, and classes that found none."""
    kinds = [type(one.coder) for one in best_first]
    if Rans not in kinds or ClassedRans not in kinds:
        return best_first
    dropped = ClassedRans if kinds.index(Rans) < kinds.index(ClassedRans) else Rans
    return [one for one in best_first if type(one.coder) is not dropped]


def _hopeful(sample: StreamGroup, screened: Sequence[Pipeline], tried: _Tried) -> list[Pipeline]:
    """Return the codecs that may beat the entropy coders, judged by the order of symbols."""
    if not tried.sizes:
        return list(screened)
    leader = tried.sizes[0][1]
    layouts = {pipeline.layout for pipeline in screened}
    hopeful = {layout for layout in layouts if _is_hopeful(sample, layout, tried.least)}
    if isinstance(leader.coder, ClassedRans) and not sample.flat:
        # Where symbols change from run to run, what changes from symbol to symbol may win.
        hopeful.add(leader.layout)
    return [pipeline for pipeline in screened if pipeline.layout in hopeful]


def _is_hopeful(sample: StreamGroup, layout: Layout, least: int) -> bool:
    pieces = [layout.forward(part)[1] for part in sample.parts]
    bits = context_bits(np.concatenate([np.zeros(0, np.uint8), *pieces]))
    saves = bits.within < (1 - WORTHWHILE) * bits.without
    return saves and bits.within < (1 + CONTEXT_HOPE) * 8 * least


def _try(group: StreamGroup, pipelines: Sequence[Pipeline], deadline: float | None) -> _Tried:
    sizes = [(_size(group, pipeline, deadline), pipeline) for pipeline in pipelines]
    tried = [(size, pipeline) for size, pipeline in sizes if size is not None]
    return _Tried(sorted(tried, key=lambda pair: pair[0]), len(sizes) - len(tried))


def _size(group: StreamGroup, pipeline: Pipeline, deadline: float | None) -> int | None:
    if is_static(pipeline) and not _is_late(deadline):
        return rans_bytes(group.parts, group.alphabet)
    coded = encode(group, pipeline, deadline)
    return None if coded is None else len(coded.stored)


def is_static(pipeline: Pipeline) -> bool:
    """Return whether a pipeline is static rANS alone, whose length needs no coding."""
    return pipeline == Pipeline(pipeline.layout, RANS, Stored()) and not pipeline.layout.side_bytes(
        (2, 1)
    )


def rans_bytes(parts: Sequence[Symbols], alphabet: int) -> int:
    """
    Return how many bytes static rANS takes, without coding.

    Args:
        parts: uint8, two-dimensional.
        alphabet: All symbols are below it.

    Returns:
        Bytes, or a few less or more.

    """
    counts = sum(histogram(part, alphabet) for part in parts) + np.zeros(alphabet, np.int64)
    return RANS.expected_of(counts, _last(parts))


def _last(parts: Sequence[Symbols]) -> Symbols:
    """Return the symbols at the end that states hold."""
    last: list[Symbols] = [np.zeros(0, np.uint8)]
    for part in reversed(parts):
        if sum(piece.size for piece in last) >= MOST_TAIL_SYMBOLS:
            break
        last.insert(0, part.reshape(-1)[-MOST_TAIL_SYMBOLS:])
    return np.concatenate(last)


def encode(group: StreamGroup, pipeline: Pipeline, deadline: float | None) -> Coded | None:
    """
    Code a group, if that is possible and it is not too late.

    Args:
        group: The group.
        pipeline: How.
        deadline: Seconds since the epoch, or None.

    Returns:
        The stream; None after the deadline, or where the group is too large for a stage.

    """
    if _is_late(deadline):
        return None
    try:
        return pipeline.encode(group.parts, alphabet=group.alphabet)
    except UsageError:
        return None


def _is_late(deadline: float | None) -> bool:
    return deadline is not None and time.time() > deadline
