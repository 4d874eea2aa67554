"""The output of ``artpack audit``."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import artpack

from .flags import with_flags
from .tables import aligned, show


def report(
    result: "artpack.AuditReport | artpack.EvaluatorReport", *, as_json: bool, html: Path | None
) -> None:
    """Print an audit on its own, and write it as a page."""
    found = result.to_json()
    rows = [*(lines if "audit" in found else evaluator_lines)(found)]
    if "audit" in found:
        rows += [("sha256", f"{d}  {path}") for path, d in found["sha256"].items()]
    if html is not None:
        _write_page(html, found)
        rows.append(("page", f"{html}: written"))
    show(found, aligned(rows), as_json=as_json)


def lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is to be said of an audit, as names and values."""
    if "audit" not in found:
        return
    audit = found["audit"]
    yield from _conditions(audit)
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


def evaluator_lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is to be said of somebody's evaluator."""
    yield "evaluator", found["evaluator"]
    if (score := found["score"]) is not None:
        bits = score["bits_per_byte"]
        rate = "" if bits is None else f", {bits:.4f} bits per byte"
        targets = f"{score['targets']:,} targets"
        yield "score", f"{score['nats_per_token']:.4f} nats per token{rate}, {targets}"
    yield from _conditions(found)
    if found["missed"]:
        yield "would be missed", "a fault at a share of the places, with a chance of:"
    for missed in found["missed"]:
        said = f"{missed['leak']:.1%} if it shows when later tokens change"
        peek = f"{missed['peek']:.0%} if half of the probability goes to the token itself"
        yield "", f"- {missed['share']:.1%} of them: {said}, {peek}"
    yield "runs", _runs(found["runs"])
    yield "seed", str(found["settings"]["seed"])
    for what, digest in found["sha256"].items():
        yield "sha256", f"{digest}  {what}"
    for limit in found["limits"]:
        yield "not seen", with_flags(limit)
    yield "audit", "passed" if found["passed"] else "FAILED"


def _conditions(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for condition in found["conditions"]:
        outcome = "passed" if condition["passed"] else "FAILED"
        yield condition["name"], f"{outcome}: {condition['rule']} ({condition['checked']})"
        for violation in condition["violations"]:
            yield "", f"- {violation}"
        if (more := condition["count"] - len(condition["violations"])) > 0:
            yield "", f"- and {more:,} more"


def _runs(runs: list[Mapping[str, Any]]) -> str:
    seconds = [run["seconds"] for run in runs]
    most = max((run["peak_bytes"] for run in runs), default=0)
    return (
        f"{len(runs):,} fresh processes, {sum(seconds):,.1f} s together,"
        f" {min(seconds):.2f} to {max(seconds):.2f} s each, {most / 1e6:,.0f} MB at most"
    )


def _write_page(path: Path, found: Mapping[str, Any]) -> None:
    from artpack.system.atomic import write_atomically

    from ..page.audit import audit_page

    audit = found.get("audit", found)
    title = found.get("evaluator") or next(iter(found["sha256"]), "weights")
    facts = {
        "Score": found.get("score"),
        "Chance to miss": audit["missed"],
        "Not seen": [with_flags(limit) for limit in found.get("limits", ())],
        "Settings": found["settings"],
        "SHA-256": {**audit["sha256"], **found["sha256"]},
        "Notes": [with_flags(note) for note in found["notes"]],
        "Numbers": {one["name"]: one["numbers"] for one in audit["conditions"] if one["numbers"]},
        "Runs": _runs(found["runs"]) if "runs" in found else None,
    }
    write_atomically(path, [audit_page(title, audit, facts).encode()])
