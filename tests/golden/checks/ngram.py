"""The n-gram lookup of seed 826, which is no distribution: reproduced to the last digit."""

import math
from collections import ChainMap
from collections.abc import Mapping
from typing import Any

import numpy as np

from artpack.evaluation.ngram.lookup import HashedLookup, Lookups
from artpack.evaluation.ngram.published import PublishedRule
from artpack.evaluation.scoring.evaluators import Windowed
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.windows.placements import place
from artpack.runners.settings import REFERENCE
from tests.golden.checks.case import Case
from tests.golden.checks.models import tolerance
from tests.golden.checks.report import Report
from tests.golden.checks.scoring import TOLERANCE, Scoring

EXACT = 1e-9
VARIANTS = ("ngram_non_adaptive", "ngram_4M_buckets")


def check(case: Case, report: Report) -> None:
    """Check what ``evals.json`` and ``evals_tokens.npz`` say of the lookup."""
    if "evals_tokens.npz" not in case or "ngram" not in case.entries("evals.json"):
        return
    s = Scoring(case, report)
    want = s.result("ngram")
    args = want["args"]
    ids = s.cut(args["eval_seq_len"])
    lookup = lookup_of(args)
    found = lookup.look_up(ids)
    _check_tokens(case, lookup, found, report)
    what = f"{case.label} evals.json ngram"
    histogram = enumerate(np.bincount(found.order).tolist())
    got = {str(order): count for order, count in histogram if order and count}
    report.exact(f"{what} order_histogram", got, want["order_histogram"])
    matched = float((found.order > 0).mean())
    report.close(f"{what} matched_fraction", matched, want["matched_fraction"], EXACT)
    tokens = case.entries("evals_tokens.npz")
    losses, entropy = tokens.peek("sliding_nll"), tokens.take("model_entropy")
    plan = place("pr826", ids, args["eval_seq_len"], args["stride"])
    stream = Stream(ids, s.table.count(ids))
    seen = Windowed(s.model, lambda _: plan, s.model.config.vocab_size, REFERENCE)(stream, ())
    tolerance_nats = tolerance("losses", losses, case.system)
    what = f"{case.label} evals_tokens.npz model_entropy"
    report.close(what, seen.entropy, entropy, tolerance_nats)
    inputs = {
        "stored losses": (-losses.astype(np.float64), entropy.astype(np.float64), EXACT),
        "own model": (seen.log_probs, seen.entropy, TOLERANCE),
    }
    for name in ("ngram", *VARIANTS):
        if name in case.entries("evals.json"):
            want = s.result(name)
            lookup = lookup_of(ChainMap(want["args"], args))
            found = lookup.look_up(ids)
            for whose, (log_probs, nats, close) in inputs.items():
                loss = float(-np.log(lookup.claim(np.exp(log_probs), nats, found)).mean())
                bpb = loss / math.log(2) / stream.byte_counts[1:].mean()
                line = f"{case.label} evals.json {name} %s ({whose})"
                report.close(line % "val_loss", loss, want["val_loss"], close * want["val_loss"])
                report.close(line % "val_bpb", bpb, want["val_bpb"], close * want["val_bpb"])


def lookup_of(args: Mapping[str, Any]) -> HashedLookup:
    """Return the lookup of some arguments of the original."""
    rule = PublishedRule(
        min_count=args["ngram_eval_min_count"],
        min_order=args["ngram_eval_min_order"],
        max_order=args["ngram_eval_max_order"],
        multipliers=tuple(args["ngram_eval_order_mults"]),
        alpha_min=args["ngram_eval_alpha_min"],
        alpha_max=args["ngram_eval_alpha_max"],
        center_nats=args["ngram_eval_entropy_center"],
        slope=args["ngram_eval_entropy_scale"],
        adaptive=args["ngram_eval_adaptive"],
    )
    return HashedLookup(rule, args["ngram_eval_buckets"], args["ngram_eval_chunk_tokens"])


def _check_tokens(case: Case, lookup: HashedLookup, found: Lookups, report: Report) -> None:
    """Compare every step of the lookup with what was stored of it."""
    tokens = case.entries("evals_tokens.npz")
    what = f"{case.label} evals_tokens.npz"
    entropy = tokens.peek("model_entropy").astype(np.float64)
    probs = np.exp(-tokens.peek("sliding_nll").astype(np.float64))
    report.exact_arrays(f"{what} ngram_order", found.order, tokens.take("ngram_order"))
    report.exact_arrays(f"{what} ngram_matched", found.order > 0, tokens.take("ngram_matched"))
    for name, got in (
        ("ngram_p", found.share),
        ("ngram_alpha", lookup.rule.alpha(entropy, found.order)),
        ("final_p", lookup.claim(probs, entropy, found)),
    ):
        report.close(f"{what} {name}", got, tokens.take(name), EXACT)
    for name, counts in (("ctx_table_nonzero", found.contexts), ("full_table_sum", found.counted)):
        want = tokens.take(name).tolist()
        unused = [0] * (len(want) - counts.size)
        report.exact(f"{what} {name}", counts.tolist() + unused, want)
