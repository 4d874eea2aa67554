"""
The search for the pipeline that codes a stream group in the fewest bytes, by measurement.

A *stream group* is a list of parts that share an alphabet and may share a stream.
Packings with a codec behind them are pre-screened on a sample; the best few then code
the whole group, and so do the entropy coders, whose cost no sample can tell. The
smallest is chosen; of equal ones the first in the profile's order, so the result depends
neither on timing nor on the number of workers. Nothing is chosen before its bytes have
been decoded and compared.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from artpack.coding.pipeline import Coded, Pipeline
from artpack.coding.profiles import Profile
from artpack.coding.symbol_coders import Rans
from artpack.errors import ArtifactError, ArtpackError, UsageError
from artpack.stages.symbols import Symbols

SAMPLE_SYMBOLS = 1 << 16
"""Enough for the codecs to show their rank, few enough to be quick. Smaller groups are not
pre-screened."""

STREAM_ENTRY_BYTES = 24
"""What one more stream costs in the header, about: its sizes, checksum and table entries."""

SMALL_PART_SYMBOLS = 256

RANS = Rans()


@dataclass(frozen=True)
class StreamGroup:
    """
    Parts that may share a stream.

    Attributes:
        parts: uint8, two-dimensional.
        alphabet: Of all of them.
        states: Of the trellis that runs down their columns, 1 for none.
    """

    parts: tuple[Symbols, ...]
    alphabet: int
    states: int = 1

    @property
    def symbols(self) -> int:
        """Number of symbols."""
        return sum(part.size for part in self.parts)

    @property
    def flat(self) -> bool:
        """Whether no part has an order of rows and columns to choose from."""
        return all(min(part.shape) <= 1 for part in self.parts)

    @property
    def large(self) -> bool:
        """Whether candidates are pre-screened on a sample."""
        return self.symbols > SAMPLE_SYMBOLS

    def sample(self) -> "StreamGroup":
        """Return the first rows of each part, about ``SAMPLE_SYMBOLS`` together."""
        share = min(1.0, SAMPLE_SYMBOLS / max(1, self.symbols))
        parts = tuple(part[: int(np.ceil(len(part) * share))] for part in self.parts)
        return replace(self, parts=parts)


@dataclass(frozen=True)
class Choice:
    """
    The pipeline that was chosen, and its bytes.

    Attributes:
        pipeline: How the group is coded.
        coded: The stream.
        skipped: How many candidates were not tried, on the sample or on the whole group.
    """

    pipeline: Pipeline
    coded: Coded
    skipped: int


Streams = list[Coded | None]
Run = Callable[[Callable[..., Coded | None], Sequence[tuple[object, ...]]], Streams]
"""Applies a function to each of many arguments, in order:
``artpack.system.workers.Workers.run``."""


def choose(
    group: StreamGroup, profile: Profile, run: Run, *, deadline: float | None = None
) -> list[tuple[StreamGroup, Choice]]:
    """
    Choose how a group is coded, as a whole or part by part, whichever takes fewer bytes.

    Args:
        group: What is to be coded.
        profile: The candidates.
        run: Runs them, in one thread or in several.
        deadline: Seconds since the epoch, after which only the first candidate is tried.

    Returns:
        The group with its choice, or one group with its choice for each part.

    Raises:
        ArtpackError: No candidate decoded to what went in.

    """
    together = [(group, one) for one in choose_each([group], profile, run, deadline=deadline)]
    alone = [replace(group, parts=(part,)) for part in group.parts]
    # Parts are only worth coding apart where one table for all costs rANS something,
    # and not when they are so small that tables of their own never pay.
    if len(alone) == 1 or group.symbols < SMALL_PART_SYMBOLS * len(alone):
        return together
    if _total(map(_rans_bytes, alone)) >= _total([_rans_bytes(group)]):
        return together
    apart = list(zip(alone, choose_each(alone, profile, run, deadline=deadline), strict=True))
    return min(together, apart, key=_bytes_chosen)


def _bytes_chosen(chosen: Sequence[tuple[StreamGroup, Choice]]) -> int:
    return _total(len(one.coded.stored) for _, one in chosen)


def _total(streams: Iterable[int]) -> int:
    return sum(size + STREAM_ENTRY_BYTES for size in streams)


def _rans_bytes(group: StreamGroup) -> int:
    symbols = np.concatenate([part.ravel() for part in group.parts])
    return len(RANS.encode(symbols, alphabet=group.alphabet))


def choose_each(
    groups: Sequence[StreamGroup], profile: Profile, run: Run, *, deadline: float | None = None
) -> list[Choice]:
    """
    Find the smallest pipeline for each of some groups.

    Args:
        groups: What is to be coded; the candidates for all of them run side by side.
        profile: The candidates.
        run: Runs them, in one thread or in several.
        deadline: Seconds since the epoch, after which only the first candidate is tried.

    Returns:
        The choice for each group, verified.

    Raises:
        ArtpackError: No candidate for a group decoded to what went in.

    """
    finals = _screen_each(groups, profile, run, deadline)
    tasks = [
        (group, pipeline, deadline if p else None)
        for group, final in zip(groups, finals, strict=True)
        for p, pipeline in enumerate(final.pipelines)
    ]
    results = iter(run(encode, tasks))
    return [
        _choice(group, [(pipeline, next(results)) for pipeline in final.pipelines], final.skipped)
        for group, final in zip(groups, finals, strict=True)
    ]


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


@dataclass(frozen=True)
class _Finalists:
    """What codes a whole group, and how many candidates were skipped on the sample."""

    pipelines: list[Pipeline]
    skipped: int


def _screen_each(
    groups: Sequence[StreamGroup], profile: Profile, run: Run, deadline: float | None
) -> list[_Finalists]:
    certain = [list(profile.certain(group.states, flat=group.flat)) for group in groups]
    screened = [
        list(profile.screened(group.alphabet, flat=group.flat))
        if profile.finalists or not group.large
        else []
        for group in groups
    ]
    tasks = [
        (group.sample(), pipeline, deadline)
        for group, pipelines in zip(groups, screened, strict=True)
        if group.large
        for pipeline in pipelines
    ]
    results = iter(run(encode, tasks))
    return [
        _screen(sure, pipelines, [next(results) for _ in pipelines], profile.finalists)
        if group.large
        else _Finalists(sure + pipelines, 0)
        for group, sure, pipelines in zip(groups, certain, screened, strict=True)
    ]


def _screen(
    certain: list[Pipeline], pipelines: list[Pipeline], streams: Streams, finalists: int
) -> _Finalists:
    """Keep what needs no screening, and the best of the others on the sample."""
    tried = [
        (len(coded.stored), pipeline)
        for coded, pipeline in zip(streams, pipelines, strict=True)
        if coded is not None
    ]
    best = sorted(tried, key=lambda pair: pair[0])[:finalists]
    return _Finalists(certain + [pipeline for _, pipeline in best], streams.count(None))


def _choice(
    group: StreamGroup, streams: Sequence[tuple[Pipeline, Coded | None]], skipped: int
) -> Choice:
    skipped += sum(coded is None for _, coded in streams)
    tried = [Choice(pipeline, coded, skipped) for pipeline, coded in streams if coded is not None]
    for choice in sorted(tried, key=lambda choice: len(choice.coded.stored)):
        if _verify(group, choice):
            return choice
    raise ArtpackError("no pipeline decoded to the symbols that went in: please report this")


def _verify(group: StreamGroup, choice: Choice) -> bool:
    shapes = [(part.shape[0], part.shape[1]) for part in group.parts]
    try:
        parts = choice.pipeline.decode(choice.coded, shapes=shapes, alphabet=group.alphabet)
    except ArtifactError:
        return False
    return all(map(np.array_equal, parts, group.parts))
