"""Audits the evaluation of a subject: builds the evaluator as eval does, and judges it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from artpack.errors import UsageError
from artpack.evaluate.audit.condition import Condition
from artpack.evaluate.audit.denominator import judge_bytes
from artpack.evaluate.audit.overlap import judge_overlap
from artpack.evaluate.audit.run import audit_evaluator
from artpack.evaluate.audit.sample import Sample
from artpack.evaluate.audit.size import judge_size
from artpack.evaluate.scoring.evaluators import Evaluator, Mixed, Windowed
from artpack.evaluate.tokens.shards import find_shards
from artpack.evaluate.ttt.evaluator import Adapting as AdaptingEvaluator
from artpack.evaluate.ttt.evaluator import check_left_to_right
from artpack.evaluate.ttt.recipe import AnyRecipe, OverStream
from artpack.models import GPT
from artpack.runners.settings import Settings

from .render.progress import progress
from .scoring import Windows, check_windows, place_windows
from .subject import Subject, read_tokenizer

FEWEST_TOKENS = 4096
_SHARES = (0.001, 0.01, 0.1)
"""Of targets with a fault, for which it is said how likely the sample misses it."""


@dataclass(frozen=True)
class Claims:
    """
    What is audited besides the evaluation itself.

    Attributes:
        artifact: The file whose size counts.
        tokenizer: The SentencePiece model of the tokens.
        train_tokens: Shards that the model was trained on; None leaves the check out.
        limit_bytes: What artifact and code may have together; None leaves the check out.
        code_bytes: Bytes of code that count.
    """

    artifact: Path
    tokenizer: Path
    train_tokens: str | None = None
    limit_bytes: int | None = None
    code_bytes: int = 0


def audit_subject(
    subject: Subject,
    claims: Claims,
    windows: Windows,
    settings: Settings,
    sample: Sample,
    *,
    recipe: AnyRecipe | None,
    mixer: str | None,
) -> dict[str, Any]:
    """
    Audit how a model is scored.

    Args:
        subject: One model, and tokens.
        claims: What else is audited.
        windows: What is run and scored; without a limit, a prefix is audited.
        settings: Device, precision and batch size.
        sample: How much is looked at.
        recipe: How the model learns on the way, with windows; None if it does not.
        mixer: How n-grams are mixed in; None if they are not.

    Returns:
        The findings, ready for JSON.

    Raises:
        UsageError: There is not one model, or options do not go together.

    """
    if len(subject.models) != 1:
        raise UsageError("one model is audited at a time: leave --baseline out")
    check_windows(subject, windows)
    stream = subject.stream.first(windows.limit_tokens or _enough(recipe))
    evaluator = _evaluator(subject, windows, settings, recipe, mixer)
    exact = settings.device == "cpu" and settings.precision == "fp32"
    text, hashes = _judge_text(subject, claims)
    with progress() as told:
        findings = audit_evaluator(evaluator, stream, sample, exact=exact, progress=told)
    if claims.limit_bytes is not None:
        size = claims.artifact.stat().st_size
        text.append(judge_size(size, claims.code_bytes, claims.limit_bytes))
    findings += text
    targets = int(stream.ids.size) - 1
    return {
        "passed": all(finding.passed for finding in findings),
        "conditions": [asdict(finding) | {"passed": finding.passed} for finding in findings],
        "sample": asdict(sample),
        "audited_targets": targets,
        "missed": [asdict(sample.missed(share, targets)) for share in _SHARES],
        "sha256": hashes,
    }


def _enough(recipe: AnyRecipe | None) -> int:
    """Return how many targets show what there is to see: something is learned before the last."""
    chunk = recipe.chunk_tokens if isinstance(recipe, OverStream) else 0
    return max(FEWEST_TOKENS, 2 * chunk)


def _evaluator(
    subject: Subject,
    windows: Windows,
    settings: Settings,
    recipe: AnyRecipe | None,
    mixer: str | None,
) -> Evaluator:
    model = subject.models[0]
    evaluator: Evaluator
    if recipe is None:
        evaluator = Windowed(
            model,
            lambda stream: place_windows(subject, windows, stream),
            subject.vocab_size,
            settings,
        )
    elif isinstance(model, GPT):
        evaluator = AdaptingEvaluator(model, recipe, settings)
    else:
        raise UsageError("--ttt takes no --hf or --compile")
    if mixer is None:
        return evaluator
    if recipe is not None:
        check_left_to_right(recipe)
    return Mixed(evaluator, mixer)


def _judge_text(subject: Subject, claims: Claims) -> tuple[list[Condition], dict[str, str]]:
    tokenizer = read_tokenizer(claims.tokenizer)
    finding, hashes = judge_bytes(subject.stream, tokenizer, texts=subject.texts)
    findings = [finding]
    if claims.train_tokens is not None:
        findings.append(judge_overlap(subject.stream, find_shards(claims.train_tokens)))
    return findings, hashes
