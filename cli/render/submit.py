"""The output of ``artpack submit``, and of ``artpack audit`` of a folder."""

from collections.abc import Iterable, Iterator

import artpack

from .tables import aligned, show


def report(result: "artpack.SubmitResult", *, as_json: bool) -> None:
    """Print what was made."""
    claims = result.submission
    rows = [*_claims(claims), *_conditions(result.audited)]
    rows.append(("audit", "passed" if result.passed else "FAILED"))
    show(result.to_json(), aligned(rows), as_json=as_json)


def audited(result: "artpack.SubmissionReport", *, as_json: bool) -> None:
    """Print what was found of a folder."""
    how = "packages of this Python, no others" if result.installed else "freshly installed"
    rows = [*_claims(result.submission), *_conditions(result.conditions), ("environment", how)]
    rows.append(("audit", "passed" if result.passed else "FAILED"))
    show(result.to_json(), aligned(rows), as_json=as_json)


def _claims(claims: "artpack.Submission") -> Iterator[tuple[str, str]]:
    error = "" if claims.val_bpb_stderr is None else f" ± {claims.val_bpb_stderr:.6f}"
    yield "submission", claims.name
    yield "bits per byte", f"{claims.val_bpb:.6f}{error}, {claims.scored_tokens:,} tokens"
    both = f"{claims.bytes_artifact:,} of artifact and {claims.bytes_code:,} of code"
    yield "bytes", f"{claims.bytes_total:,} of {claims.bytes_limit:,}: {both}"


def _conditions(conditions: Iterable["artpack.Condition"]) -> Iterator[tuple[str, str]]:
    for one in conditions:
        outcome = "passed" if one.passed else "FAILED"
        yield one.name, f"{outcome}: {one.rule} ({one.checked})"
        for violation in one.violations:
            yield "", f"- {violation}"
