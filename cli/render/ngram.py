"""The output of n-gram mixing, beside what the published lookup would have claimed."""

from collections.abc import Iterator, Mapping
from typing import Any

from .estimate import estimate


def lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is to be said of the mixing, as names and values."""
    if "ngram" not in found:
        return
    facts = found["ngram"]
    mixed = (
        f"orders 2 to 9, exact counts, {facts['mixer']} weights; each token counted once it is"
        f" scored; sums within {facts['mixed_sum_error']:.0e} of 1 at {facts['sampled']:,} targets"
    )
    yield "n-grams mixed in", mixed
    for name, key in (("without n-grams", "model"), ("rule of PR 826", "published_rule")):
        yield f"bits per byte, {name}", estimate(facts[key]["bits_per_byte"], ".6f")
    claimed = (
        f"{facts['claimed']['bits_per_byte']['value']:.6f}, which is no code length: its"
        f' "probabilities" add up to {facts["claimed_sum"]:,.1f} on average'
        f" ({facts['claimed_buckets']:,} buckets, as full as the published ones)"
    )
    yield "lookup of PR 826 would claim", claimed
