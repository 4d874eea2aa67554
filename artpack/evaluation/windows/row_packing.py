"""Rows of tokens that a model can run, made of the windows of a plan."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.evaluation.tokens.shards import Tokens
from artpack.evaluation.windows.plan import WindowPlan
from artpack.models.document_mask import Documents


@dataclass(frozen=True)
class Batch:
    """
    Rows of a plan, as the model takes them.

    Attributes:
        ids: int64 (B, T), padded with 0 on the right.
        documents: Which windows share a row; None where none do.
        positions: int64 (n,), the scored positions in the flattened rows.
        targets: int64 (n,), what comes next there.
    """

    ids: Tensor
    documents: Documents | None
    positions: Tensor
    targets: Tensor


def batches(
    ids: Tokens, plan: WindowPlan, *, batch_rows: int, device: torch.device
) -> Iterator[Batch]:
    """
    Gather the rows of a plan.

    Args:
        ids: The stream that the plan was made for.
        plan: The windows.
        batch_rows: Rows per batch; the last batch may have fewer.
        device: Where the batches go.

    Yields:
        Batches that together hold every window once, in the plan's order.

    """
    number = plan.rows // batch_rows
    edges = [*np.flatnonzero(np.diff(number, prepend=-1)).tolist(), len(number)]
    for low, high in pairwise(edges):
        yield _gather(ids, plan, slice(low, high), device)


def _gather(ids: Tokens, plan: WindowPlan, part: slice, device: torch.device) -> Batch:
    start, length, first = plan.windows[part].T
    row = plan.rows[part] - plan.rows[part.start]
    before = np.cumsum(length) - length
    place = row * plan.row_tokens + before - before[np.searchsorted(row, row)]
    shape = (int(row[-1]) + 1, plan.row_tokens)
    # From here on one entry per token: its window, and its index in window, stream and rows.
    window = np.repeat(np.arange(len(row)), length)
    inner = np.arange(len(window)) - before[window]
    source, laid = start[window] + inner, place[window] + inner
    rows = np.zeros(shape, np.int64)
    rows.reshape(-1)[laid] = ids[source]
    scored = inner >= first[window]
    return Batch(
        ids=_send(rows, device),
        documents=_documents(place, place + length, shape, device) if len(row) > shape[0] else None,
        positions=_send(laid[scored], device),
        targets=_send(ids[source[scored] + 1].astype(np.int64), device),
    )


def _documents(
    begins: NDArray[np.int64], ends: NDArray[np.int64], shape: tuple[int, int], device: torch.device
) -> Documents:
    starts = np.zeros(shape, np.bool_)
    # Padding starts where the row's last window ends: a document of its own.
    starts.reshape(-1)[[*begins, *ends[ends < starts.size]]] = True
    return Documents.from_starts(_send(starts, device))


def _send(array: NDArray[Any], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    # Pinned memory lets the copy wait in the queue while earlier batches still run.
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
