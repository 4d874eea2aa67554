"""
The candidates that are worth coding a whole group with, found on samples.

Entropy coders run heats on samples, each larger than the one before; those that fall behind
are out. Byte codecs are slow, so they are tried only where contexts or repeated rows say that
they may see what entropy coders do not.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from artpack.coding.contexts import context_bits, repeated_rows
from artpack.coding.groups import SAMPLE_SYMBOLS, StreamGroup
from artpack.coding.pipeline import Coded, Pipeline
from artpack.coding.profiles import Profile
from artpack.coding.symbol_coders import ClassedRans
from artpack.errors import UsageError
from artpack.stages import Layout


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

WORTHWHILE = 5e-4
"""What must be saved on a sample, as a share, to do what takes long on all symbols."""

CONTEXT_HOPE = 0.01
"""By what share codecs may be better than plain counts in contexts."""

MANY_REPEATS = 0.01
"""Share of rows that occur again from which on codecs are tried whatever samples say."""


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
    if not group.large:
        return Finalists(certain + screened)
    if not profile.exhaustive:
        return _promising(group, certain, screened, profile.finalists, deadline)
    tried = _try(group.sample(), screened, deadline)
    best = [pipeline for _, pipeline in tried.sizes[: profile.finalists]]
    return Finalists(certain + best, tried.skipped)


def _promising(
    group: StreamGroup,
    certain: list[Pipeline],
    screened: list[Pipeline],
    most: int,
    deadline: float | None,
) -> Finalists:
    sample = group.sample()
    first = _try(sample, certain, deadline)
    left = _heats(group, first, certain, deadline)
    repeats = repeated_rows(group.parts) > MANY_REPEATS
    hopeful = screened if repeats else _hopeful(sample, screened, first)
    tried = _try(sample, hopeful, deadline)
    best = [
        pipeline
        for size, pipeline in tried.sizes[:most]
        if repeats or size < (1 - WORTHWHILE) * first.least
    ]
    return Finalists(left.pipelines + best, left.skipped + tried.skipped)


def _heats(
    group: StreamGroup, tried: _Tried, coders: list[Pipeline], deadline: float | None
) -> Finalists:
    """Return the entropy coders that may win: at least the first, cut off or not."""
    left, skipped = tried.within(HEATS[0].margin), tried.skipped
    for heat in HEATS[1:]:
        if len(left) > 1 and 2 * heat.symbols < group.symbols:
            tried = _try(group.sample(heat.symbols), left, deadline)
            left, skipped = tried.within(heat.margin), skipped + tried.skipped
    return Finalists(left or coders[:1], min(skipped, len(coders) - 1))


def _hopeful(sample: StreamGroup, screened: Sequence[Pipeline], tried: _Tried) -> list[Pipeline]:
    """Return the codecs that may beat the entropy coders, judged by the order of symbols."""
    if not tried.sizes:
        return []
    leader = tried.sizes[0][1]
    layouts = {pipeline.layout for pipeline in screened}
    hopeful = {layout for layout in layouts if _is_hopeful(sample, layout, tried.least)}
    if isinstance(leader.coder, ClassedRans):
        # Where symbols change from run to run, what changes from symbol to symbol may win.
        hopeful.add(leader.layout)
    return [pipeline for pipeline in screened if pipeline.layout in hopeful]


def _is_hopeful(sample: StreamGroup, layout: Layout, least: int) -> bool:
    pieces = [layout.forward(part)[1] for part in sample.parts]
    bits = context_bits(np.concatenate([np.zeros(0, np.uint8), *pieces]))
    saves = bits.within < (1 - WORTHWHILE) * bits.without
    return saves and bits.within < (1 + CONTEXT_HOPE) * 8 * least


def _try(group: StreamGroup, pipelines: Sequence[Pipeline], deadline: float | None) -> _Tried:
    streams = [(encode(group, pipeline, deadline), pipeline) for pipeline in pipelines]
    tried = [(len(coded.stored), pipeline) for coded, pipeline in streams if coded is not None]
    return _Tried(sorted(tried, key=lambda pair: pair[0]), len(streams) - len(tried))


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
    if deadline is not None and time.time() > deadline:
        return None
    try:
        return pipeline.encode(group.parts, alphabet=group.alphabet)
    except UsageError:
        return None
