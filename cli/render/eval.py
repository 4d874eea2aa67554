"""The output of ``artpack eval``."""

from collections.abc import Iterator, Mapping
from typing import Any

import artpack

from . import audit, ngram, ttt
from .estimate import estimate
from .tables import aligned, show


def report(result: "artpack.EvalResult", *, as_json: bool) -> None:
    """Print what an evaluation found."""
    found = result.to_json()
    rows = [*_lines(found), *ttt.lines(found), *ngram.lines(found), *audit.lines(found)]
    show(found, aligned(rows), as_json=as_json)


def _lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if found["byte_check"] is not None:
        yield "byte check", _byte_check(found["byte_check"])
    if "score" in found:
        yield from _score_lines(found)
    for path, digest in found["sha256"].items():
        yield "sha256", f"{digest}  {path}"


def _score_lines(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    score = found["score"]
    yield from _numbers(found["what"], score)
    if "comparison" in found:
        both = found["comparison"]
        yield from _numbers("baseline", found["baseline"])
        yield "bits per byte, increase", estimate(both["bits_per_byte_increase"], "+.6f")
        yield "mean KL from baseline", f"{estimate(both['kl_nats'], '.6f')} nats per token"
        yield "top-1 agreement", estimate(both["top1_agreement"], ".4%")
    yield "scored", _scored(score)
    yield "tail", _tail(found)
    yield "windows", _windows(found)
    yield "run", _run(found)


def _numbers(what: str, score: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield f"bits per byte, {what}", estimate(score["bits_per_byte"], ".6f")
    yield f"loss, {what}", f"{estimate(score['loss_nats'], '.6f')} nats per token"


def _scored(score: Mapping[str, Any]) -> str:
    coverage = score["coverage"]
    times = f"{coverage['repeated']:,} of them repeats" if coverage["repeated"] else "each once"
    return (
        f"{coverage['scored']:,} tokens, {times}, of {coverage['targets']:,}:"
        f" {score['bytes']:,} bytes of text in {score['documents']:,} documents"
    )


def _tail(found: Mapping[str, Any]) -> str:
    coverage = found["score"]["coverage"]
    skipped = f"{coverage['skipped']:,} tokens not scored" if coverage["skipped"] else "all scored"
    beyond = found["stream_tokens"] - 1 - coverage["targets"]
    limit = f"; {beyond:,} more beyond --limit-tokens" if beyond else ""
    return f"{skipped}{limit}; the last window has {found['last_window_tokens']:,} tokens"


def _windows(found: Mapping[str, Any]) -> str:
    coverage = found["score"]["coverage"]
    settings = found["settings"] | found.get("windows", {})
    window, stride = settings["window_tokens"], settings["stride_tokens"]
    return (
        f"{settings['placement']}, {window:,} tokens, {stride or window:,} of them scored:"
        f" {coverage['windows']:,} windows in {coverage['rows']:,} rows,"
        f" {coverage['forward_tokens']:,} tokens run"
    )


def _run(found: Mapping[str, Any]) -> str:
    settings = found["settings"]
    flags = [name for name in ("compile", "faithful") if settings[name]]
    words = [
        settings["device"],
        settings["precision"],
        f"batches of {settings['batch_tokens']:,} tokens",
        f"processes: {settings['processes']}",
        *flags,
        f"torch {settings['torch']}",
        f"{found['seconds']:.1f} s",
    ]
    return ", ".join(words)


def _byte_check(check: Mapping[str, Any]) -> str:
    first = check["first"]
    if first is None:
        if any(check["losses"].values()):
            return "FAILED: the tokens do not give their text back (see the notes)"
        return f"passed: {check['counted']:,} bytes counted and decoded"
    return (
        f"FAILED in {check['mismatches']:,} of {check['documents']:,} documents:"
        f" {check['counted']:,} bytes counted, {check['decoded']:,} decoded; first in document"
        f" {first['document']:,} at token {first['start']:,}: {first['counted']:,} counted,"
        f" {first['decoded']:,} decoded, wrong from token {first['token']:,} on, {first['text']!r}"
    )
