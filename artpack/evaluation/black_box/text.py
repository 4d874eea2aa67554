"""What is known of the text: its bytes, and how fresh documents are scored beside it."""

from dataclasses import replace

import numpy as np

from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.black_box.answer import Losses
from artpack.evaluation.scoring.estimate import Estimate, bootstrap_errors
from artpack.evaluation.tokens.documents import document_spans
from artpack.evaluation.tokens.shards import Tokens

CANARY_ERRORS = 5.0
"""By how many standard errors the text may be scored better than fresh documents."""


def judge_claim(finding: Condition, claimed: int | None, counted: int) -> Condition:
    """
    Compare the bytes that an evaluator divides by with those of the text.

    Args:
        finding: What was found when the text was decoded.
        claimed: By the evaluator, if it says.
        counted: In the decoded text, of the tokens that are scored.

    Returns:
        The finding, with the claim.

    """
    if claimed is None:
        return finding
    numbers = {"claimed_bytes": claimed, "counted_bytes": counted}
    if claimed == counted:
        return replace(finding, numbers=numbers)
    said = f"the evaluator counts {claimed:,} bytes, the scored tokens stand for {counted:,}"
    return replace(
        finding,
        violations=(said, *finding.violations),
        count=finding.count + 1,
        numbers=numbers,
    )


def mean_loss(ids: Tokens, losses: Losses, bos_id: int) -> Estimate:
    """
    Average over tokens, with an error over documents.

    Args:
        ids: The stream, shape (tokens,).
        losses: Shape (tokens - 1,), nats.
        bos_id: The id that starts a document.

    Returns:
        Nats per token.

    """
    starts = np.array([start for start, _ in document_spans(ids[:-1], bos_id)])
    counts = np.diff(starts, append=losses.size)
    sums = np.stack([counts, counts, np.add.reduceat(losses, starts)], axis=1).astype(np.float64)
    (error,) = bootstrap_errors(sums, lambda total: total[..., 2:] / total[..., :1])
    return Estimate(float(losses.mean()), error)


def judge_canary(text: Estimate, fresh: Estimate) -> Condition:
    """
    Ask whether the text is scored better than fresh documents of the same source.

    Args:
        text: Its mean loss.
        fresh: Theirs.

    Returns:
        The finding.

    """
    errors = (text.stderr or np.nan, fresh.stderr or np.nan)
    gap, error = fresh.value - text.value, float(np.hypot(*errors))
    said = (
        f"the text is scored {gap:.4f} ± {error:.4f} nats per token better than fresh documents:"
        " it may have been trained on"
    )
    return Condition.judge(
        "canary",
        f"the text is not scored better than fresh documents, by {CANARY_ERRORS:g} standard errors",
        f"{text.value:.4f} nats per token, fresh documents {fresh.value:.4f}: {gap:+.4f} ± "
        f"{error:.4f}",
        [said] if gap > CANARY_ERRORS * error else [],
        numbers={"text_nats": text.value, "fresh_nats": fresh.value, "error_nats": error},
    )
