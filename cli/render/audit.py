"""The output of ``artpack audit``."""

from collections.abc import Iterator, Mapping
from typing import Any

import artpack

from .tables import aligned, show


def report(result: "artpack.AuditReport", *, as_json: bool) -> None:
    """Print an audit on its own."""
    found = result.to_json()
    rows = [*lines(found), *(("sha256", f"{d}  {path}") for path, d in found["sha256"].items())]
    show(found, aligned(rows), as_json=as_json)


def lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is to be said of an audit, as names and values."""
    if "audit" not in found:
        return
    audit = found["audit"]
    for condition in audit["conditions"]:
        outcome = "passed" if condition["passed"] else "FAILED"
        yield condition["name"], f"{outcome}: {condition['rule']} ({condition['checked']})"
        for violation in condition["violations"]:
            yield "", f"- {violation}"
        if (more := condition["count"] - len(condition["violations"])) > 0:
            yield "", f"- and {more:,} more"
    sample = audit["sample"]
    looked = f"{sample['cuts']:,} cuts and {sample['rows']:,} distributions, seed {sample['seed']}"
    yield "sample", f"{looked}, in the first {audit['audited_targets']:,} targets"
    yield "would be missed", "a fault in a share of the targets, with a chance of at most:"
    for missed in audit["missed"]:
        own, row = missed["own_target"], missed["distribution"]
        shows = f"{own:.1%} if only its own target shows it, {row:.1%} if its distribution does"
        yield "", f"- {missed['share']:.1%} of them: {shows}"
    for what, digest in audit["sha256"].items():
        yield "sha256", f"{digest}  the {what}"
    yield "audit", "passed" if audit["passed"] else "FAILED"
