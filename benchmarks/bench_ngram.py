"""
How fast n-grams are counted and mixed, and how much memory their counts take.

Training tokens of the test model, and longer streams in which each token is drawn from
what followed the same two tokens there. A stream in which nothing returns would be no
text, and one that repeats itself no test.

Nothing is timed whose counts are not, on the first tokens, those of plain dictionaries,
and whose mixture does not sum to one. Rates are per CPU second of one thread, so that
neighbours matter little; ``memory_mb_per_mtoken`` is the size of all tables at the end.
From the repository's root::

    python -m benchmarks.bench_ngram --csv benchmarks/results
    python -m benchmarks.bench_ngram --generate 40000000
"""

import argparse
import os
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from artpack.evaluation.ngram.counts import NgramCounts
from artpack.evaluation.ngram.mixing import MAX_ORDER, MIN_ORDER, Learned
from artpack.evaluation.tokens.shards import Tokens, read_tokens
from benchmarks.report import Row, print_table, write_csv
from benchmarks.sources import lm6m_path

VOCABULARY = 1024
CHECKED_TOKENS = 20_000


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few tokens, only to see it run")
    parser.add_argument(
        "--generate", type=int, action="append", default=[], metavar="TOKENS", help="a stream more"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a file, or a folder for one")
    arguments = parser.parse_args()
    checkpoint = lm6m_path()
    if checkpoint is None:
        sys.exit("the test model and its tokens are missing (set ARTPACK_SHARED)")
    text = read_tokens(str(checkpoint.with_name("calib.bin")))
    lengths = [10_000] if arguments.quick else [250_000, 1_000_000, 2_000_000]
    streams = [("text", text[:length]) for length in lengths]
    streams += [("trigrams", generated(text, length)) for length in arguments.generate]
    check(text[:CHECKED_TOKENS])
    rows = [measure(source, ids) for source, ids in streams]
    print_table(rows)
    if arguments.csv is not None:
        write_csv(arguments.csv, "ngram", rows)


def measure(source: str, ids: Tokens) -> Row:
    """Count a stream, and mix it with a model that knows nothing."""
    counts, started = NgramCounts(MIN_ORDER, MAX_ORDER), time.process_time()
    for part in np.array_split(ids, max(ids.size // 100_000, 1)):
        counts.absorb(part)
    counted = time.process_time() - started
    level, mixer, started = np.full(100_000, -np.log(VOCABULARY)), Learned(), time.process_time()
    for part in np.array_split(ids, max(ids.size // 100_000, 1)):
        mixer.absorb(part, level[: part.size], -level[: part.size])
    mixed = time.process_time() - started
    return {
        "source": source,
        "tokens": ids.size,
        "counted_tokens_cpu_s": round(ids.size / counted),
        "mixed_tokens_cpu_s": round(ids.size / mixed),
        "ngrams_per_token": round(counts.nodes / ids.size, 3),
        "memory_mb_per_mtoken": round(counts.memory_bytes / ids.size, 1),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def check(ids: Tokens) -> None:
    """Stop where counts are not those of dictionaries, or a mixture is no distribution."""
    evidence = NgramCounts(MIN_ORDER, MAX_ORDER).absorb(ids)
    tokens: list[int] = ids.tolist()
    seen: defaultdict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for at, token in enumerate(tokens):
        for order in range(MIN_ORDER, min(MAX_ORDER, at + 1) + 1):
            known = seen[tuple(tokens[at - order + 1 : at])]
            want = known[token], known.total(), len(+known)
            assert tuple(evidence[at, order - MIN_ORDER].tolist()) == want
            known[token] += 1
    level, mixer = np.full(ids.size, -np.log(VOCABULARY)), Learned()
    mixer.absorb(ids, level, -level)
    row = mixer.distribution(np.full(VOCABULARY, 1 / VOCABULARY), float(np.log(VOCABULARY)))
    assert abs(row.sum() - 1) < 1e-12


def generated(text: Tokens, length: int) -> Tokens:
    """Return a stream in which each token followed the same two somewhere in the text."""
    pairs = text[:-2].astype(np.int64) * VOCABULARY + text[1:-1]
    places = np.argsort(pairs, kind="stable")
    edges = np.searchsorted(pairs[places], np.arange(VOCABULARY**2 + 1))
    draws = np.random.default_rng(0).random(length)
    return _generate(text, places, edges, draws)


@njit(cache=True)
def _generate(
    text: Tokens, places: NDArray[np.int64], edges: NDArray[np.int64], draws: NDArray[np.float64]
) -> Tokens:
    ids = np.empty(draws.size, text.dtype)
    ids[:2] = text[:2]
    for i in range(2, draws.size):
        pair = np.int64(ids[i - 2]) * VOCABULARY + ids[i - 1]
        low, high = edges[pair], edges[pair + 1]
        # The last pair of the text may have no successor: start over.
        place = places[low + np.int64(draws[i] * (high - low))] if low < high else 0
        ids[i] = text[place + 2]
    return ids


if __name__ == "__main__":
    main()
