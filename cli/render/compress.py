"""The output of ``artpack compress``: the file, and what it costs."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import artpack

from .inspect import as_table, row_json
from .tables import print_table, show

if TYPE_CHECKING:
    from artpack.evaluation.scoring.estimate import Estimate


def summary(
    result: "artpack.CompressResult",
    *,
    checkpoint: str,
    artifact: str | None,
    seconds: float,
    as_json: bool,
) -> None:
    """Print what was made; with ``artifact`` None nothing was written, and all tensors show."""
    found = {
        "checkpoint": checkpoint,
        "artifact": artifact,
        **_numbers(result),
        "seconds": seconds,
    }
    if artifact is None:
        description = result.description
        found["tensors"] = [row_json(row, description) for row in description.tensors]
        if not as_json:
            as_table(description, description.tensors)
    line = (
        f"{artifact or 'nothing written'}:"
        f" {result.source_bytes:,} -> {result.size_bytes:,} bytes,"
        f" {result.bits_per_weight:.3f} bits per weight,"
        f" {result.source_bytes / result.size_bytes:.2f} times smaller, {seconds:.1f} s"
    )
    show(found, [line, *_lines(result)], as_json=as_json)


def page(path: Path, title: str, result: "artpack.CompressResult") -> None:
    """Write the search, the bytes and the losses as a page."""
    from artpack.system.atomic import write_atomically

    from ..page.compress import compress_page

    write_atomically(path, [compress_page(title, result).encode()])


def plan(found: "artpack.WorkPlan", *, as_json: bool) -> None:
    """Print what the work would take."""
    numbers = asdict(found) | {
        "hours": found.hours,
        "memory_bytes": found.memory_bytes,
        "disk_bytes": found.disk_bytes,
    }
    data = f", {found.tokens:,} tokens run {found.passes} times" if found.tokens else ""
    time = f"{found.hours:.2f} hours with {found.workers} workers"
    memory = f"{found.memory_bytes / 1e9:.2f} GB of memory each"
    disk = f"{found.disk_bytes / 1e9:.3f} GB of disk, {found.file_bytes / 1e9:.3f} of it the file"
    lines = [
        f"{found.recipe}: {found.weights:,} weights in {found.matrices} matrices{data}",
        f"{time}, {memory}, {disk}",
    ]
    show(numbers, lines, as_json=as_json)
    if not as_json:
        cells = (
            [
                phase.name,
                str(phase.tasks),
                f"{phase.core_hours:.3f}",
                f"{phase.hours:.3f}",
                f"{phase.memory_bytes / 1e9:.2f}",
            ]
            for phase in found.phases
        )
        print_table(["", "tasks", "core hours", "hours", "GB each"], cells, text=("",))


def _numbers(result: "artpack.CompressResult") -> dict[str, Any]:
    return {
        "recipe": result.recipe,
        "notes": result.notes,
        "bytes_in": result.source_bytes,
        "bytes_out": result.size_bytes,
        "weights": result.weights,
        "bits_per_weight": result.bits_per_weight,
        "ratio": result.source_bytes / result.size_bytes,
        "portable": result.result.packed.portable,
        "portable_price": result.result.packed.portable_price,
        "decoder_bytes": result.bundle.size_bytes if result.goal.decoder else None,
        "fit": _fit(result),
        "reports": {name: asdict(report) for name, report in result.reports.items()},
    }


def _fit(result: "artpack.CompressResult") -> dict[str, Any]:
    goal, chosen, loss = result.goal, result.chosen, result.loss
    found: dict[str, Any] = {"limit_bytes": goal.limit_bytes, "code_bytes": goal.code_bytes}
    if chosen is not None:
        found |= {
            "log2_step": chosen.log2_step,
            "trials": [
                {
                    "log2_step": one.log2_step,
                    "bytes": one.file_bytes,
                    "bpb_increase": one.loss,
                    "draft": one.draft,
                }
                for one in result.trials
            ],
            "calibration_kl_nats": loss,
            "calibration_kl_nats_a_kb": _per_kb(result, loss),
        }
    if result.comparison is not None:
        found["score"] = _score(result, result.comparison)
    return found


def _score(result: "artpack.CompressResult", comparison: "artpack.Comparison") -> dict[str, Any]:
    increase = comparison.bits_per_byte_increase
    return {
        "bpb_increase": asdict(increase),
        "kl_nats": asdict(comparison.kl_nats),
        "tokens": comparison.packed.coverage.scored,
        "bpb_a_kb": _per_kb(result, increase.value),
    }


def _per_kb(result: "artpack.CompressResult", loss: float | None) -> float | None:
    worth = None if loss is None else result.worth_of(loss)
    return None if worth is None else 1000 * worth


def _lines(result: "artpack.CompressResult") -> Iterator[str]:
    """Yield what is known of the budget, the loss and the score."""
    goal = result.goal
    if goal.decoder:
        yield f"decoder: {result.bundle.size_bytes:,} bytes"
    if goal.limit_bytes is not None:
        left = goal.limit_bytes - goal.code_bytes - goal.counted_bytes(result.result.packed)
        made = f", {_made(result)}" if result.trials else ""
        yield f"budget: {goal.limit_bytes:,} bytes, {left:,} left{made}"
    if result.loss is not None:
        yield (
            f"loss: {result.loss:.5f} {result.loss_unit} on calibration data;"
            f" another KB would save {_per_kb(result, result.loss):.7f}"
        )
    if result.comparison is not None:
        yield _score_line(result, result.comparison)


def _made(result: "artpack.CompressResult") -> str:
    drafts = sum(trial.draft for trial in result.trials)
    files = len(result.trials) - drafts
    return f"{drafts} drafts and {files} file{'s' * (files > 1)} made"


def _score_line(result: "artpack.CompressResult", comparison: "artpack.Comparison") -> str:
    increase = comparison.bits_per_byte_increase
    worth = _per_kb(result, increase.value)
    more = "" if worth is None else f"; another KB would save {worth:.7f} bits per byte"
    tokens = comparison.packed.coverage.scored
    return (
        f"score: {_shown(increase, '+.5f')} bits per byte on {tokens:,} tokens,"
        f" KL {_shown(comparison.kl_nats, '.5f')} nats per token{more}"
    )


def _shown(estimate: "Estimate", style: str) -> str:
    error = "" if estimate.stderr is None else f" ± {estimate.stderr:.5f}"
    return f"{estimate.value:{style}}{error}"
