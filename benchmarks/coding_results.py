"""What each pipeline made of the same symbols, and whether the project's claims hold for it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import Self

from artpack.coding.search import STREAM_ENTRY_BYTES
from benchmarks.measure import Cost
from benchmarks.report import Row

AUCTION = "auction"
RANS = ("rows|rans|stored", "rows|classed-rans|stored", "columns|classed-rans|stored")
LRZIP = "columns|bytes|lrzip"
BROTLI = "brotli"

RANS_OVER_LRZIP = 1.002
RANS_TIMES_LRZIP_SPEED = 20.0
AUCTION_BELOW_BROTLI = 0.012


@dataclass(frozen=True)
class Result:
    """
    One pipeline, or the auction, on one group or on several of one source.

    Attributes:
        source: Where the symbols come from.
        group: Role of their tensors.
        part: Which part of these.
        symbols: How many.
        true_bits: Entropy of the source in bits per symbol; None for a checkpoint.
        order0_bits: All symbols together by how often each occurs in its group.
        pipeline: Label of the pipeline.
        cost: What it took.
    """

    source: str
    group: str
    part: str
    symbols: int
    true_bits: float | None
    order0_bits: float
    pipeline: str
    cost: Cost

    def __add__(self, other: Self) -> Self:
        """Return the same pipeline's result on both."""
        assert (self.source, self.pipeline) == (other.source, other.pipeline)
        return replace(
            self,
            group="(all)",
            part="(all)" if self.part != other.part else self.part,
            symbols=self.symbols + other.symbols,
            order0_bits=self.order0_bits + other.order0_bits,
            cost=self.cost + other.cost,
        )

    @property
    def bytes_in_file(self) -> int:
        """Bytes with what the header says of each stream."""
        return self.cost.bytes + self.cost.streams * STREAM_ENTRY_BYTES

    def row(self) -> Row:
        """Return the measures as they are printed."""
        bits, millions = 8 * self.cost.bytes, self.symbols / 1e6
        return {
            "source": self.source,
            "group": self.group,
            "part": self.part,
            "symbols": self.symbols,
            "true_bits": "" if self.true_bits is None else round(self.true_bits, 4),
            "order0_bits": round(self.order0_bits / self.symbols, 4),
            "pipeline": self.pipeline,
            "bytes": self.cost.bytes,
            "bits_per_symbol": round(bits / self.symbols, 4),
            "gap_percent": round(100 * (bits / self.order0_bits - 1), 2),
            "encode_mb_s": round(millions / self.cost.encode_s, 3),
            "decode_mb_s": round(millions / self.cost.decode_s, 3),
            "encode_mib": round(self.cost.encode_mib, 1),
            "decode_mib": round(self.cost.decode_mib, 1),
        }


def totals(results: Iterable[Result]) -> dict[str, Result]:
    """Add up each pipeline that coded every group of these, smallest first."""
    by_pipeline: dict[str, list[Result]] = {}
    for result in results:
        by_pipeline.setdefault(result.pipeline, []).append(result)
    groups = max(map(len, by_pipeline.values()), default=0)
    whole = [reduce(add, some) for some in by_pipeline.values() if len(some) == groups]
    return {total.pipeline: total for total in sorted(whole, key=lambda t: t.bytes_in_file)}


@dataclass(frozen=True)
class Claim:
    """What the project says of itself, with the numbers."""

    text: str
    holds: bool


def check_claims(results: Sequence[Result], *, int6: Sequence[str], model: str) -> Iterator[Claim]:
    """Check rANS on the codes of the int6 sources, the auction on all parts of the model."""
    for source in int6:
        yield from _check_rans([r for r in results if (r.source, r.part) == (source, "codes")])
    yield from _check_auction([r for r in results if r.source == model])


def _check_rans(results: Sequence[Result]) -> Iterator[Claim]:
    total = totals(results)
    ours = [total[label] for label in RANS if label in total]
    if not ours or LRZIP not in total:
        return
    rans, lrzip = min(ours, key=lambda one: one.bytes_in_file), total[LRZIP]
    shares = [
        ours.cost.bytes / theirs.cost.bytes
        for ours, theirs in zip(_of(rans.pipeline, results), _of(LRZIP, results), strict=True)
    ]
    share = rans.cost.bytes / lrzip.cost.bytes
    yield Claim(
        f"{rans.source}: {rans.pipeline} takes {share:.4f} of the bytes of lrzip,"
        f" {min(shares):.4f} to {max(shares):.4f} by group"
        f" (claim: at most {RANS_OVER_LRZIP} together)",
        share <= RANS_OVER_LRZIP,
    )
    speed = lrzip.cost.decode_s / rans.cost.decode_s
    yield Claim(
        f"{rans.source}: {rans.pipeline} decodes {speed:.0f} times faster than lrzip"
        f" (claim: at least {RANS_TIMES_LRZIP_SPEED:.0f})",
        speed >= RANS_TIMES_LRZIP_SPEED,
    )


def _check_auction(results: Sequence[Result]) -> Iterator[Claim]:
    total = totals(results)
    if AUCTION not in total:
        return
    ours = total.pop(AUCTION)
    best = next(iter(total.values()))
    yield Claim(
        f"{ours.source}: the auction takes {ours.bytes_in_file} bytes, the best single pipeline,"
        f" {best.pipeline}, {best.bytes_in_file} (claim: no more)",
        ours.bytes_in_file <= best.bytes_in_file,
    )
    brotli = next(t for label, t in total.items() if label.endswith(f"|{BROTLI}"))
    saved = 1 - ours.bytes_in_file / brotli.bytes_in_file
    yield Claim(
        f"{ours.source}: the auction saves {100 * saved:.2f}% over {brotli.pipeline} at quality 11"
        f" (claim: at least {100 * AUCTION_BELOW_BROTLI}%)",
        saved >= AUCTION_BELOW_BROTLI,
    )


def _of(pipeline: str, results: Sequence[Result]) -> list[Result]:
    return [result for result in results if result.pipeline == pipeline]
