"""What a file costs, and what another kilobyte would be worth, as numbers."""

from typing import Any

from artpack.evaluate.scoring.estimate import Estimate
from artpack.evaluate.scoring.score import Comparison
from artpack.pack.budget import loss_per_byte

from .fitting import Fitted
from .options.budget import Goal
from .packing import Done


def numbers(done: Done, goal: Goal) -> dict[str, Any]:
    """Return what is known of how a file was found, and of what it costs, for JSON."""
    found: dict[str, Any] = {"limit_bytes": goal.limit_bytes, "code_bytes": goal.code_bytes}
    if done.fitted is not None:
        found |= _fitted(done.fitted, done.weights)
    if done.comparison is not None:
        found["score"] = _score(done.comparison, done.weights)
    return found


def _fitted(fitted: Fitted, weights: int) -> dict[str, Any]:
    loss = fitted.loss_nats
    return {
        "octaves": fitted.fit.chosen.octaves,
        "trials": [
            {
                "octaves": one.octaves,
                "bytes": one.file_bytes,
                "bpb_increase": one.loss,
                "draft": one.draft,
            }
            for one in fitted.fit.trials
        ],
        "calibration_kl_nats": loss,
        "calibration_kl_nats_a_kb": None if loss is None else 1000 * loss_per_byte(loss, weights),
    }


def _score(comparison: Comparison, weights: int) -> dict[str, Any]:
    increase = comparison.bits_per_byte_increase
    return {
        "bpb_increase": _estimate(increase),
        "kl_nats": _estimate(comparison.kl_nats),
        "tokens": comparison.packed.coverage.scored,
        "bpb_a_kb": 1000 * loss_per_byte(increase.value, weights) if weights else None,
    }


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {"value": estimate.value, "stderr": estimate.stderr}
