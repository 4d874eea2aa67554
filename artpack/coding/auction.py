"""
The auction: which pipeline codes a lot in the fewest bytes, by measurement.

A *lot* is a list of parts that share an alphabet and may share a stream. Packings
with a codec behind them first code a sample; the best few then code all of the lot,
and so do the entropy coders, whose cost no sample can tell. The smallest wins; of
equal ones the first in the profile's order, so the result depends neither on timing
nor on the number of workers. Nobody wins before its bytes have been decoded and
compared.
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
"""Enough for the codecs to show their rank, few enough to be quick. Smaller lots have no heat."""

STREAM_ENTRY_BYTES = 24
"""What one more stream costs in the header, about: its sizes, checksum and table entries."""

SMALL_PART_SYMBOLS = 256

RANS = Rans()


@dataclass(frozen=True)
class Lot:
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
        """Whether bidders are screened on a sample."""
        return self.symbols > SAMPLE_SYMBOLS

    def sample(self) -> "Lot":
        """Return the first rows of each part, about ``SAMPLE_SYMBOLS`` together."""
        share = min(1.0, SAMPLE_SYMBOLS / max(1, self.symbols))
        parts = tuple(part[: int(np.ceil(len(part) * share))] for part in self.parts)
        return replace(self, parts=parts)


@dataclass(frozen=True)
class Award:
    """
    The winner of an auction and its bytes.

    Attributes:
        pipeline: How the lot is coded.
        coded: The stream.
        unheard: How many bids were not made, on the sample or on all of the lot.
    """

    pipeline: Pipeline
    coded: Coded
    unheard: int


Bids = list[Coded | None]
Runner = Callable[[Callable[..., Coded | None], Sequence[tuple[object, ...]]], Bids]
"""Applies a function to each of many arguments, in order:
``artpack.system.workers.Workers.run``."""


def sell(
    lot: Lot, profile: Profile, run: Runner, *, deadline: float | None = None
) -> list[tuple[Lot, Award]]:
    """
    Auction a lot, as a whole or part by part, whichever takes fewer bytes.

    Args:
        lot: What is to be coded.
        profile: Who may bid.
        run: Runs the bids, in one thread or in several.
        deadline: Seconds since the epoch, after which only the first bidder is heard.

    Returns:
        The lot with its award, or one lot with its award for each part.

    Raises:
        ArtpackError: No bid decoded to what went in.

    """
    sold = [(lot, award) for award in auction([lot], profile, run, deadline=deadline)]
    alone = [replace(lot, parts=(part,)) for part in lot.parts]
    # Parts are only worth auctioning apart where one table for all costs rANS something,
    # and not when they are so small that tables of their own never pay.
    if len(alone) == 1 or lot.symbols < SMALL_PART_SYMBOLS * len(alone):
        return sold
    if _total(map(_rans_bytes, alone)) >= _total([_rans_bytes(lot)]):
        return sold
    apart = list(zip(alone, auction(alone, profile, run, deadline=deadline), strict=True))
    return min(sold, apart, key=_bytes_sold)


def _bytes_sold(sold: Sequence[tuple[Lot, Award]]) -> int:
    return _total(len(award.coded.stored) for _, award in sold)


def _total(streams: Iterable[int]) -> int:
    return sum(size + STREAM_ENTRY_BYTES for size in streams)


def _rans_bytes(lot: Lot) -> int:
    symbols = np.concatenate([part.ravel() for part in lot.parts])
    return len(RANS.encode(symbols, alphabet=lot.alphabet))


def auction(
    lots: Sequence[Lot], profile: Profile, run: Runner, *, deadline: float | None = None
) -> list[Award]:
    """
    Find the smallest pipeline for each of some lots.

    Args:
        lots: What is to be coded; the bids for all of them run side by side.
        profile: Who may bid.
        run: Runs the bids, in one thread or in several.
        deadline: Seconds since the epoch, after which only the first bidder is heard.

    Returns:
        The winner of each lot, verified.

    Raises:
        ArtpackError: No bid for a lot decoded to what went in.

    """
    heats = _heats(lots, profile, run, deadline)
    tasks = [
        (lot, bidder, deadline if b else None)
        for lot, heat in zip(lots, heats, strict=True)
        for b, bidder in enumerate(heat.bidders)
    ]
    results = iter(run(bid, tasks))
    return [
        _award(lot, [(bidder, next(results)) for bidder in heat.bidders], heat.unheard)
        for lot, heat in zip(lots, heats, strict=True)
    ]


def bid(lot: Lot, pipeline: Pipeline, deadline: float | None) -> Coded | None:
    """
    Code a lot, if that is possible and it is not too late.

    Args:
        lot: The lot.
        pipeline: How.
        deadline: Seconds since the epoch, or None.

    Returns:
        The stream; None after the deadline, or where the lot is too large for a stage.

    """
    if deadline is not None and time.time() > deadline:
        return None
    try:
        return pipeline.encode(lot.parts, alphabet=lot.alphabet)
    except UsageError:
        return None


@dataclass(frozen=True)
class _Heat:
    """Who codes all of a lot, and how many did not get through the sample."""

    bidders: list[Pipeline]
    unheard: int


def _heats(
    lots: Sequence[Lot], profile: Profile, run: Runner, deadline: float | None
) -> list[_Heat]:
    certain = [list(profile.certain(lot.states, flat=lot.flat)) for lot in lots]
    screened = [
        list(profile.screened(lot.alphabet, flat=lot.flat))
        if profile.finalists or not lot.large
        else []
        for lot in lots
    ]
    tasks = [
        (lot.sample(), pipeline, deadline)
        for lot, pipelines in zip(lots, screened, strict=True)
        if lot.large
        for pipeline in pipelines
    ]
    results = iter(run(bid, tasks))
    return [
        _screen(sure, pipelines, [next(results) for _ in pipelines], profile.finalists)
        if lot.large
        else _Heat(sure + pipelines, 0)
        for lot, sure, pipelines in zip(lots, certain, screened, strict=True)
    ]


def _screen(
    certain: list[Pipeline], pipelines: list[Pipeline], bids: list[Coded | None], finalists: int
) -> _Heat:
    """Keep the certain bidders and the best of the others on the sample."""
    heard = [
        (len(coded.stored), pipeline)
        for coded, pipeline in zip(bids, pipelines, strict=True)
        if coded is not None
    ]
    best = sorted(heard, key=lambda pair: pair[0])[:finalists]
    return _Heat(certain + [pipeline for _, pipeline in best], bids.count(None))


def _award(lot: Lot, bids: Sequence[tuple[Pipeline, Coded | None]], unheard: int) -> Award:
    unheard += sum(coded is None for _, coded in bids)
    heard = [Award(pipeline, coded, unheard) for pipeline, coded in bids if coded is not None]
    for award in sorted(heard, key=lambda award: len(award.coded.stored)):
        if _verify(lot, award):
            return award
    raise ArtpackError("no pipeline decoded to the symbols that went in: please report this")


def _verify(lot: Lot, award: Award) -> bool:
    shapes = [(part.shape[0], part.shape[1]) for part in lot.parts]
    try:
        parts = award.pipeline.decode(award.coded, shapes=shapes, alphabet=lot.alphabet)
    except ArtifactError:
        return False
    return all(map(np.array_equal, parts, lot.parts))
