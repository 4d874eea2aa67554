"""What a file costs, and what another kilobyte would be worth, for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def lines(found: Mapping[str, Any], size: int) -> Iterator[str]:
    """Yield what the ``fit`` of a summary says; ``size`` is the file's, in bytes."""
    if found["limit_bytes"] is not None:
        left = found["limit_bytes"] - found["code_bytes"] - size
        made = f", {_made(found['trials'])}" if "trials" in found else ""
        yield f"budget: {found['limit_bytes']:,} bytes, {left:,} left{made}"
    loss = found.get("calibration_kl_nats")
    if loss is not None:
        yield (
            f"loss: {loss:.5f} nats a token on calibration tokens;"
            f" another KB would save {found['calibration_kl_nats_a_kb']:.7f}"
        )
    if "score" in found:
        yield from _score_lines(found["score"])


def _made(trials: Sequence[Mapping[str, Any]]) -> str:
    drafts = sum(trial["draft"] for trial in trials)
    files = len(trials) - drafts
    return f"{drafts} drafts and {files} file{'s' * (files > 1)} made"


def _score_lines(score: Mapping[str, Any]) -> Iterator[str]:
    worth = score["bpb_a_kb"]
    yield (
        f"score: {_shown(score['bpb_increase'], '+.5f')} bits per byte on"
        f" {score['tokens']:,} tokens, KL {_shown(score['kl_nats'], '.5f')} nats a token"
        + ("" if worth is None else f"; another KB would save {worth:.7f} bits per byte")
    )


def _shown(estimate: Mapping[str, float | None], style: str) -> str:
    error = "" if estimate["stderr"] is None else f" ± {estimate['stderr']:.5f}"
    return f"{estimate['value']:{style}}{error}"
