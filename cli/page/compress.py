"""One self-contained page about a file that was made: its search, its bytes, its loss."""

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import artpack
from artpack.pack.budget import loss_per_byte

from .curve import curve
from .report import note, notes, paragraph, report_page, scrolled, section
from .tables import Columns, table

if TYPE_CHECKING:
    from artpack.artifact.describe import RoleRow
    from artpack.pack.budget import Trial

HUES = 7
"""Roles with a colour of their own; all others share the next."""

KINDS = {"law": "overhead", "draft": "g6", "file": "g0", "chosen": "g1"}
"""What a dot is, or the line, and its colour; the last is drawn on top."""

AROUND = (0.8, 1.25)
"""How far the line goes, in sizes of the file."""

ROLES = ("role", "tensors", "weights", "bytes", "share", "bytes, one after another", "bits")
LOSSES = ("loss alone", "another KB saves")
FALL_WIDTH = 1000


def compress_page(title: str, result: "artpack.CompressResult") -> str:
    """
    Show how a file was found, where its bytes went, and what they cost.

    Args:
        title: Name of the file.
        result: The file.

    Returns:
        An HTML page that refers to nothing outside; the same input gives the same page.

    """
    return report_page(
        title,
        "how it was made",
        "How this file was found, where its bytes went, and what they lose.",
        dict(_figures(result)),
        [_search(result), _roles(result)],
    )


def _figures(result: "artpack.CompressResult") -> Iterator[tuple[str, str]]:
    yield "bytes", f"{result.size_bytes:,}"
    yield "times smaller", f"{result.source_bytes / result.size_bytes:.2f}"
    yield "bits per weight", f"{result.bits_per_weight:.3f}"
    if result.loss is not None:
        yield f"loss, {result.loss_unit}", f"{result.loss:.5f}"
        yield "another KB would save", f"{_per_kb(result, result.loss):.7f}"
    if result.comparison is not None:
        increase = result.comparison.bits_per_byte_increase.value
        yield "bits per byte, increase", f"{increase:+.5f}"


def _per_kb(result: "artpack.CompressResult", loss: float) -> float:
    return 1000 * (result.worth_of(loss) or 0.0)


def _search(result: "artpack.CompressResult") -> str:
    """Draw the steps that were tried; empty where there was nothing to search."""
    chosen = result.chosen
    if chosen is None or len(result.trials) < 2:
        return ""
    losses, label, about = _losses(result, chosen)
    series: dict[str, list[tuple[float, float, str]]] = {kind: [] for kind in KINDS}
    series["law"] = _law(result, chosen, losses)
    rows, hues = [], []
    for trial, loss in sorted(losses.items(), key=lambda one: one[0].file_bytes):
        kind = "draft" if trial.draft else "chosen" if trial == chosen else "file"
        said = f"{kind}\n{trial.file_bytes:,} bytes, {label} {loss:.6f}"
        if loss > 0:
            series[kind].append((trial.file_bytes, loss, said))
        steps = 2 ** (trial.log2_step - chosen.log2_step)
        rows.append([kind, f"{trial.file_bytes:,}", f"{steps:.4f}", f"{loss:.6f}"])
        hues.append(KINDS[kind])
    drawing = curve({kind: own for kind, own in series.items() if own}, KINDS, label)
    columns = Columns(("kind", "bytes", "step, the file's being 1", label), text=("kind",))
    return section(
        "Search",
        paragraph(
            f"One step for all tensors was looked for: wider ones save bytes. {about} The line is"
            " what more bytes or fewer would do: a bit for each weight divides the loss by four."
        ),
        drawing,
        scrolled("Search", table(columns, rows, hues=hues)),
    )


def _law(
    result: "artpack.CompressResult", chosen: "Trial", losses: Mapping["Trial", float]
) -> list[tuple[float, float, str]]:
    """Return the line through the chosen file: a bit for each weight divides the loss by four."""
    here, rate = losses[chosen], result.worth_of(1.0)
    if here <= 0 or rate is None:
        return []
    sizes = [trial.file_bytes for trial in losses]
    around = [share * chosen.file_bytes for share in AROUND]
    ends = (min(*sizes, *around), max(*sizes, *around))
    return [(size, here * math.exp(rate * (chosen.file_bytes - size)), "") for size in ends]


def _losses(
    result: "artpack.CompressResult", chosen: "Trial"
) -> tuple[dict["Trial", float], str, str]:
    """Return what each trial loses, what that is called, and how it is known."""
    measured = {one: one.loss for one in result.trials if one.loss is not None}
    if len(measured) == len(result.trials):
        return measured, "loss", "Every file was made, coded, counted and measured."
    here, label = (result.loss, f"loss, {result.loss_unit}") if result.loss else (1.0, "loss")
    found = {one: here * 4 ** (one.log2_step - chosen.log2_step) for one in result.trials}
    known = "the chosen file's is measured" if result.loss else "the chosen file's is 1 here"
    return (
        found,
        label,
        f"Drafts are estimates, files were made. Losses go as the square of the step; {known}.",
    )


def _roles(result: "artpack.CompressResult") -> str:
    """Write the bytes by role, which add up to the file, and what each role loses."""
    description, losses = result.description, result.role_losses
    fall = _Fall(description.file_bytes)
    rows = [
        [
            role.name,
            f"{role.tensors:,}",
            f"{role.weights:,}",
            *fall.cells(role.stored_bytes),
            f"{role.bits_per_weight:.3f}",
            *_cost(losses, role),
        ]
        for role in description.roles
    ]
    rest = ["", *(["", ""] if losses else [])]
    foot = [[name, "", "", *fall.cells(n), *rest] for name, n in description.overhead.items()]
    whole = [] if result.loss is None or not losses else [f"{result.loss:.6f}", ""]
    bits = f"{description.bits_per_weight:.3f}"
    weights, tensors = f"{description.weights:,}", f"{len(description.tensors):,}"
    foot.append(["total", tensors, weights, f"{fall.done:,}", "100.00%", "", bits, *whole])
    columns = Columns(
        (*ROLES, *(LOSSES if losses else ())),
        text=("role",),
        drawn=("bytes, one after another",),
        summed=("bytes",),
    )
    hues = [f"g{min(i, HUES)}" for i in range(len(rows))]
    said = (
        f"Losses are in {result.loss_unit}, on calibration data: those of a role are what its"
        " errors add alone, and need not sum to that of all. <b>another KB saves</b> is what a"
        " thousand bytes more for this role would save of them. Where all are equal, no byte is"
        " better spent elsewhere."
    )
    return section(
        "Bytes",
        paragraph("A role is all tensors whose names differ by numbers alone."),
        scrolled("Bytes", table(columns, rows, foot, hues), filtered=True),
        note(said) if losses else "",
        notes(result.notes),
    )


def _cost(losses: Mapping[str, float], role: "RoleRow") -> list[str]:
    if not losses:
        return []
    loss = losses.get(role.name)
    if loss is None:
        return ["", ""]
    return [f"{loss:.6f}", f"{1000 * loss_per_byte(loss, role.weights):.7f}"]


class _Fall:
    """Bars of a waterfall: each begins where the one before it ends."""

    def __init__(self, total: int) -> None:
        self._total, self.done = total, 0

    def cells(self, size: int) -> list[str]:
        """Write bytes, their share of all, and their bar."""
        x, width = (FALL_WIDTH * n / self._total for n in (self.done, size))
        self.done += size
        bar = (
            f'<svg class="fall" viewBox="0 0 {FALL_WIDTH} 1" preserveAspectRatio="none"'
            f' aria-hidden="true"><rect x="{x:.3f}" width="{width:.3f}" height="1"/></svg>'
        )
        return [f"{size:,}", f"{size / self._total:.2%}", bar]
