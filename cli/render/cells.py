"""The rows of an artifact's table as text, the same in a terminal and on the page."""

from typing import TYPE_CHECKING

from .words import coding_words, grid_words

if TYPE_CHECKING:
    from artpack.artifact.describe import Description, TensorRow
    from artpack.quantize.error_report import Report

COLUMNS = (
    "tensor",
    "shape",
    "weights",
    "grid",
    "coding",
    "bytes",
    "bits",
    "entropy",
    "gap",
    "share",
)

DECODED_COLUMNS = frozenset({"entropy", "gap"})

REPORT_COLUMNS = (
    "tensor",
    "weighted error",
    "relative error",
    "clipped",
    "dead columns",
    "median step",
    "bits",
    "least bits",
)

TEXT_COLUMNS = frozenset({"tensor", "shape", "grid", "coding"})
"""Text starts at the left of its column; everything else is a number and ends at the right."""


def tensor_cells(row: "TensorRow", description: "Description") -> list[str]:
    """
    Write one tensor's row.

    Args:
        row: The tensor.
        description: The file that it is in.

    Returns:
        A cell for each of ``COLUMNS``; the tensor's name is as the file has it.

    """
    return [
        row.name,
        "x".join(map(str, row.shape)) or "scalar",
        f"{row.weights:,}",
        grid_words(row.grid),
        coding_words(row.parts),
        f"{row.stored_bytes:,}",
        f"{row.bits_per_weight:.3f}",
        "" if row.entropy_bits_per_weight is None else f"{row.entropy_bits_per_weight:.3f}",
        "" if row.gap is None else f"{row.gap:+.2%}",
        f"{row.stored_bytes / description.file_bytes:.2%}",
    ]


def without_entropy(lines: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Return the columns and lines of cells without those that only decoding can fill."""
    kept = [i for i, column in enumerate(COLUMNS) if column not in DECODED_COLUMNS]
    return [COLUMNS[i] for i in kept], [[line[i] for i in kept] for line in lines]


def report_cells(row: "TensorRow", report: "Report") -> list[str]:
    """Write one tensor's report, a cell for each of ``REPORT_COLUMNS``."""
    weighted, least = report.weighted_error, report.bound_bits
    return [
        row.name,
        "" if weighted is None else f"{weighted:.2e}",
        f"{report.relative_error:.2e}",
        f"{report.clipped_share:.2%}",
        f"{report.dead_columns:,}",
        f"{report.median_step:.2e}",
        f"{row.bits_per_weight:.3f}",
        "" if least is None else f"{least:.3f}",
    ]


def other_cells(name: str, size: int, description: "Description") -> list[str]:
    """Write the row of bytes that belong to no tensor of the table."""
    share = f"{size / description.file_bytes:.2%}"
    return [name, "", "", "", "", f"{size:,}", "", "", "", share]


def overhead_cells(description: "Description") -> list[list[str]]:
    """Write the rows of bytes that belong to no tensor, carried files named."""
    from artpack.checkpoint.source import listed

    rows = [other_cells(name, size, description) for name, size in description.overhead.items()]
    for row in rows:
        if row[0] == "files":
            row[0] = f"files: {listed(description.files)}"
    return rows


def total_cells(description: "Description") -> list[str]:
    """Write the row of the whole file."""
    weights, size = f"{description.weights:,}", f"{description.file_bytes:,}"
    bits = f"{description.bits_per_weight:.3f}"
    return ["total", "", weights, "", "", size, bits, "", "", "100.00%"]
