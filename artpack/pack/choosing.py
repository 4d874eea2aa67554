"""The choice of pipelines for all groups of a file: the smallest, and those without libraries."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from artpack.artifact.plan import Member, StreamPlan
from artpack.coding.codecs import Stored
from artpack.coding.groups import StreamGroup
from artpack.coding.layouts import Rows
from artpack.coding.pipeline import Coded, Pipeline
from artpack.coding.profiles import Profile
from artpack.coding.search import STREAM_ENTRY_BYTES, Choice, choose, expected_bytes
from artpack.coding.symbol_coders import Rans
from artpack.pack.part_pool import PartPool
from artpack.stages.progress import Progress, counter
from artpack.system.workers import Workers

Chosen = list[tuple[StreamGroup, Choice]]
"""The streams that a group becomes, each with its pipeline and bytes."""

Chooser = Callable[[StreamGroup], Chosen]

MembersChoice = tuple[tuple[Member, ...], Choice]

PORTABLE_SHARE = 1e-3
"""Of its bytes a file may spend so many on being read without a library, unless it must."""


@dataclass(frozen=True)
class Choosers:
    """
    How groups are coded: in the fewest bytes, and without libraries.

    Attributes:
        smallest: Codes a group in the fewest bytes.
        portable: Codes one that Python's standard library and numpy decode.
        share: What share of its bytes a file may spend on the latter.
    """

    smallest: Chooser
    portable: Chooser
    share: float


def choosers(
    profile: Profile, *, portable: bool | None = None, deadline: float | None = None
) -> Choosers:
    """
    Make choosers that code groups.

    Args:
        profile: The candidates.
        portable: Whether no library may be needed to decode. None where that costs less than
            ``PORTABLE_SHARE``; never in an exhaustive search.
        deadline: Seconds since the epoch, after which only the first candidate is tried.

    Returns:
        The choosers.

    """
    return _choosers(partial(choose, deadline=deadline), profile, portable=portable)


def estimators(profile: Profile, *, portable: bool | None = None) -> Choosers:
    """
    Make choosers that only tell about how many bytes large groups will take.

    Args:
        profile: The candidates.
        portable: As for :func:`choosers`.

    Returns:
        The choosers; streams of large groups are zeros.

    """
    return _choosers(_estimate, profile, portable=portable)


def _choosers(
    chooser: Callable[..., Chosen], profile: Profile, *, portable: bool | None
) -> Choosers:
    if portable is None:
        share = 0.0 if profile.exhaustive else PORTABLE_SHARE
    else:
        share = math.inf if portable else 0.0
    smallest = partial(chooser, profile=profile)
    return Choosers(smallest, partial(chooser, profile=profile.portable()), share)


def _estimate(group: StreamGroup, profile: Profile) -> Chosen:
    if group.states == 1 and not group.large:
        return choose(group, profile)
    size = expected_bytes(group)
    return [(group, Choice(Pipeline(Rows(), Rans(), Stored()), Coded(bytes(size), size), 0))]


def choose_all(
    groups: Sequence[tuple[Member, ...]],
    pool: PartPool,
    using: Choosers,
    workers: Workers,
    progress: Progress | None,
) -> tuple[list[MembersChoice], int]:
    """
    Choose for each group of a file.

    Args:
        groups: Members that may share a stream.
        pool: Has their symbols.
        using: What chooses.
        workers: Who codes.
        progress: Told after each group.

    Returns:
        Each stream's members with its choice, and how many bytes more portable streams take
        than the smallest ones.

    """
    advance, sizes = counter("packing", pool.symbols, progress), list[int]()

    def taken() -> Iterator[tuple[Choosers, StreamGroup]]:
        for group in groups:
            symbols = pool.stream_group(group)
            sizes.append(symbols.symbols)
            yield using, symbols

    each = workers.map(code_both_ways, taken(), lambda n: advance(sizes[n]))
    pairs = list(zip(groups, each, strict=True))
    smallest, others = (
        [one for group, coded in pairs for one in _with_members(group, coded[i])] for i in (0, 1)
    )
    price = _stored_bytes(others) - _stored_bytes(smallest)
    return (others if price <= using.share * _stored_bytes(smallest) else smallest), price


def code_all(
    streams: Sequence[StreamPlan],
    pool: PartPool,
    workers: Workers,
    progress: Progress | None,
) -> list[MembersChoice]:
    """
    Code streams as they were chosen before.

    Args:
        streams: Members and pipeline of each.
        pool: Has their symbols.
        workers: Who codes.
        progress: Told after each stream.

    Returns:
        Each stream's members with its bytes.

    """
    advance, sizes = counter("packing", pool.symbols, progress), list[int]()

    def taken() -> Iterator[tuple[Pipeline, StreamGroup]]:
        for stream in streams:
            symbols = pool.stream_group(stream.members)
            sizes.append(symbols.symbols)
            yield stream.pipeline, symbols

    each = workers.map(_code, taken(), lambda n: advance(sizes[n]))
    return [(stream.members, one) for stream, one in zip(streams, each, strict=True)]


def _code(pipeline: Pipeline, group: StreamGroup) -> Choice:
    return Choice(pipeline, pipeline.encode(group.parts, alphabet=group.alphabet), 0)


Streams = list[tuple[int, Choice]]
"""The streams that a group becomes: how many of its members each has, and how it is coded."""


def code_both_ways(using: Choosers, group: StreamGroup) -> tuple[Streams, Streams]:
    """
    Code a group.

    Args:
        using: What chooses.
        group: Its symbols.

    Returns:
        Its smallest streams, and those that no library is needed for.

    """
    smallest = others = using.smallest(group)
    if not all(one.pipeline.portable for _, one in smallest):
        others = using.portable(group)
    return _counted(smallest), _counted(others)


def _counted(chosen: Chosen) -> Streams:
    return [(len(part.parts), one) for part, one in chosen]


def _with_members(group: tuple[Member, ...], streams: Streams) -> list[MembersChoice]:
    members = iter(group)
    return [(tuple(islice(members, count)), one) for count, one in streams]


def _stored_bytes(chosen: Sequence[MembersChoice]) -> int:
    return sum(len(one.coded.stored) + STREAM_ENTRY_BYTES for _, one in chosen)
