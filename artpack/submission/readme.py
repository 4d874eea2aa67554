"""The README of a submission: its score, what counts, and what an audit found."""

from collections.abc import Iterable, Iterator

from artpack.evaluation.audit.condition import Condition
from artpack.submission.folder import README, REQUIREMENTS
from artpack.submission.record import RECORD, Submission, Windows


def write_readme(claims: Submission, audited: Iterable[Condition], targets: int) -> str:
    """
    Write a README.

    Args:
        claims: What the folder claims.
        audited: What an audit of the score found.
        targets: How many targets it looked at.

    Returns:
        Markdown.

    """
    return "\n".join(_lines(claims, list(audited), targets)) + "\n"


def _lines(claims: Submission, audited: list[Condition], targets: int) -> Iterator[str]:
    windows = claims.windows
    loss = _said(claims.val_loss, claims.val_loss_stderr)
    yield f"# {claims.name}\n"
    bits = _said(claims.val_bpb, claims.val_bpb_stderr)
    yield f"**{bits} bits per byte** ({loss} nats per token)"
    yield f"on {claims.scored_tokens:,} tokens, {claims.scored_bytes:,} bytes of text.\n"
    yield "| what counts | bytes |"
    yield "|---|---|"
    yield f"| `{claims.artifact}` | {claims.bytes_artifact:,} |"
    yield f"| code: `{claims.script}` and `{claims.train_script}` | {claims.bytes_code:,} |"
    yield f"| both | {claims.bytes_total:,} of {claims.bytes_limit:,} |\n"
    yield f"`{README}`, `{RECORD}` and `{REQUIREMENTS}` do not count; all other files do.\n"
    yield "## Score it\n"
    yield "```"
    yield f"pip install -r {REQUIREMENTS}"
    sidecar = " --sidecar BYTES" if claims.sidecar else ""
    yield f"python {claims.script} --tokens TOKENS --tokenizer MODEL{sidecar}"
    yield "```\n"
    yield from _how(windows, claims.ttt)
    yield "| data | sha256 |"
    yield "|---|---|"
    data = {"tokens": claims.tokens, "tokenizer": claims.tokenizer, "sidecar": claims.sidecar}
    for name, one in data.items():
        if one is not None:
            yield f"| {name} | `{one.sha256}` |"
    yield f"\n## Audit of the first {targets:,} targets\n"
    yield "| condition | outcome | what it asks | looked at |"
    yield "|---|---|---|---|"
    for found in audited:
        outcome = "passed" if found.passed else f"**FAILED**: {'; '.join(found.violations)}"
        yield f"| {found.name} | {outcome} | {found.rule} | {found.checked} |"
    yield f"\nMade by artpack {claims.artpack}; `artpack audit` of this folder checks all of it."


def _how(windows: Windows, ttt: str | None) -> Iterator[str]:
    """Say how it is scored."""
    limit = windows.limit_tokens
    which = "all tokens are scored" if limit is None else f"the first {limit:,} tokens are scored"
    stride = windows.stride_tokens or windows.window_tokens
    if ttt is None:
        yield f"Windows are {windows.placement}, of {windows.window_tokens:,} tokens, of which"
        yield f"{stride:,} are scored; {which}.\n"
    else:
        yield f"The model learns from tokens after it has scored them, by the recipe `{ttt}`, which"
        yield f"the artifact carries; where that is silent, windows have {windows.window_tokens:,}"
        yield f"tokens, of which {stride:,} are scored. It sees each token once; {which}.\n"


def _said(value: float, stderr: float | None) -> str:
    return f"{value:.6f}" + ("" if stderr is None else f" ± {stderr:.6f}")
