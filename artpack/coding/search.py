"""
The search for the pipeline that codes a stream group in the fewest bytes.

Candidates that are left after screening code the whole group. The smallest is chosen; of equal
ones the first in the profile's order, so the result does not depend on timing. Nothing is
chosen before its bytes have been decoded and compared.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from artpack.coding.groups import StreamGroup
from artpack.coding.pipeline import Coded, Pipeline
from artpack.coding.profiles import Profile
from artpack.coding.screening import (
    WORTHWHILE,
    Finalists,
    encode,
    finalists,
    is_static,
    rans_bytes,
)
from artpack.coding.symbol_coders import Adaptive
from artpack.errors import ArtifactError, ArtpackError

STREAM_ENTRY_BYTES = 24
"""What one more stream costs in the header, about: its sizes, checksum and table entries."""

SMALL_PART_SYMBOLS = 256

UNSURE_BYTES = 16
"""By how much static rANS may be shorter than expected."""


@dataclass(frozen=True)
class Choice:
    """
    The pipeline that was chosen, and its bytes.

    Attributes:
        pipeline: How the group is coded.
        coded: The stream.
        skipped: How many candidates a deadline cut off.
    """

    pipeline: Pipeline
    coded: Coded
    skipped: int


def choose(
    group: StreamGroup, profile: Profile, *, deadline: float | None = None
) -> list[tuple[StreamGroup, Choice]]:
    """
    Choose how a group is coded, as a whole or part by part, whichever takes fewer bytes.

    Args:
        group: What is to be coded.
        profile: The candidates.
        deadline: Seconds since the epoch, after which only the first candidate is tried.

    Returns:
        The group with its choice, or one group with its choice for each part.

    Raises:
        ArtpackError: No candidate decoded to what went in.

    """
    left = finalists(group, profile, deadline)
    together = [(group, _best(group, left, deadline))]
    alone = [replace(group, parts=(part,)) for part in group.parts]
    # Parts are only worth coding apart where one table for all costs rANS something,
    # and not when they are so small that tables of their own never pay.
    if len(alone) == 1 or group.symbols < SMALL_PART_SYMBOLS * len(alone):
        return together
    saved = 1 - _rans_total(alone) / _rans_total([group])
    if saved <= 0 or (_by_sample(group, profile) and not _saves_apart(alone, together)):
        return together
    apart = [(one, _choose_alone(one, left, profile, deadline)) for one in alone]
    return min(together, apart, key=_bytes_chosen)


def _choose_alone(
    part: StreamGroup, together: Finalists, profile: Profile, deadline: float | None
) -> Choice:
    """Choose for a part, among what may code all of them and what is quick."""
    if profile.exhaustive:
        return choose_one(part, profile, deadline=deadline)
    certain = list(profile.certain(part.states, flat=part.flat))
    quick = [one for one in certain if is_static(one)] if part.large else certain
    others = [one for one in together.pipelines if one not in quick]
    return _best(part, Finalists(quick + others), deadline)


def _saves_apart(
    alone: Sequence[StreamGroup], together: Sequence[tuple[StreamGroup, Choice]]
) -> bool:
    """Say whether tables for each part are enough to beat what was chosen for all of them."""
    return _rans_total(alone) < (1 - WORTHWHILE) * _bytes_chosen(together)


def _by_sample(group: StreamGroup, profile: Profile) -> bool:
    return group.large and not profile.exhaustive


def _bytes_chosen(chosen: Sequence[tuple[StreamGroup, Choice]]) -> int:
    return _total(len(one.coded.stored) for _, one in chosen)


def _total(streams: Iterable[int]) -> int:
    return sum(size + STREAM_ENTRY_BYTES for size in streams)


def _rans_total(groups: Sequence[StreamGroup]) -> int:
    return _total(rans_bytes(group.parts, group.alphabet) for group in groups)


def expected_bytes(group: StreamGroup) -> int:
    """
    Tell about how many bytes a group will take, for less work than to choose.

    Args:
        group: What would be coded.

    Returns:
        Bytes: what rANS or the adaptive coder takes, so seldom less than what is chosen.

    """
    adaptive = Adaptive(group.states)
    coded = adaptive.encode_matrices(group.parts, alphabet=group.alphabet)
    return min(rans_bytes(group.parts, group.alphabet), len(coded))


def choose_one(group: StreamGroup, profile: Profile, *, deadline: float | None = None) -> Choice:
    """
    Find the smallest pipeline for a group as a whole.

    Args:
        group: What is to be coded.
        profile: The candidates.
        deadline: Seconds since the epoch, after which only the first candidate is tried.

    Returns:
        The choice, verified.

    Raises:
        ArtpackError: No candidate decoded to what went in.

    """
    return _best(group, finalists(group, profile, deadline), deadline)


def _best(group: StreamGroup, left: Finalists, deadline: float | None) -> Choice:
    """Code a group with the candidates that are left; static rANS only if it may win."""
    streams: dict[Pipeline, Coded | None] = {}
    static = [one for one in left.pipelines if is_static(one)]
    for p, pipeline in enumerate(left.pipelines):
        if pipeline not in static:
            streams[pipeline] = encode(group, pipeline, deadline if p else None)
    sizes = [len(coded.stored) for coded in streams.values() if coded is not None]
    expected = rans_bytes(group.parts, group.alphabet) if static else 0
    if static and (not sizes or expected <= min(sizes) + UNSURE_BYTES):
        streams = {static[0]: encode(group, static[0], None)} | streams
    choice = _smallest(group, list(streams.items()), left.skipped)
    if choice is None and static and static[0] not in streams:
        choice = _smallest(group, [(static[0], encode(group, static[0], None))], left.skipped)
    if choice is None:
        raise ArtpackError("no pipeline decoded to the symbols that went in: please report this")
    return choice


def _smallest(
    group: StreamGroup, streams: Sequence[tuple[Pipeline, Coded | None]], skipped: int
) -> Choice | None:
    skipped += sum(coded is None for _, coded in streams)
    tried = [Choice(pipeline, coded, skipped) for pipeline, coded in streams if coded is not None]
    for choice in sorted(tried, key=lambda choice: len(choice.coded.stored)):
        if _verify(group, choice):
            return choice
    return None


def _verify(group: StreamGroup, choice: Choice) -> bool:
    shapes = [(part.shape[0], part.shape[1]) for part in group.parts]
    try:
        parts = choice.pipeline.decode(choice.coded, shapes=shapes, alphabet=group.alphabet)
    except ArtifactError:
        return False
    return all(map(np.array_equal, parts, group.parts))
