"""Second moments of what a graph multiplies its tensors with."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from artpack.graphs import find_uses
from artpack.graphs.rewriting import Exposed
from artpack.graphs.uses import inputs_are_columns
from artpack.quantize.matrix_view import matrix_shape
from artpack.runners.onnx.batches import Batch
from artpack.runners.onnx.session import GraphSession, GraphWeights
from artpack.runners.onnx.sites import Site, sites_of
from artpack.stages.progress import Progress

if TYPE_CHECKING:
    from onnx import ModelProto

SITES_AT_ONCE = 32
"""How many values are outputs at once: it bounds what activations of one batch are kept."""

MAX_COLUMNS = 16384
"""Wider matrices have moments of more than 1 GiB, and go without."""


def collect_hessians(
    weights: GraphWeights, batches: tuple[Batch, ...], progress: Progress | None = None
) -> dict[str, Tensor]:
    """
    Run a graph over batches, and sum up the moments of what its tensors are multiplied with.

    Args:
        weights: The graph's.
        batches: What to run.
        progress: Told after each batch.

    Returns:
        Stored name to the mean over batches of ``sum x x'``, float32 (columns, columns). Of a
        convolution of several groups, it is the mean over groups. What no input reached, what
        only looks rows up, and what is wider than ``MAX_COLUMNS`` is left out.

    Raises:
        UsageError: onnxruntime is missing or fails, or the batches are not the graph's.

    """
    count = len(find_sites(weights.model(), weights))
    sums: dict[str, Tensor] = {}
    values = weights.inputs({})
    for low in range(0, count, SITES_AT_ONCE):
        model = weights.model()
        sites = find_sites(model, weights)[low : low + SITES_AT_ONCE]
        exposed = Exposed(model)
        outputs = [exposed.add(site.value, site.path) for site in sites]
        session = GraphSession(model, weights.names)
        for done, batch in enumerate(batches, 1):
            feed = session.checked(batch) | values
            _add(sums, session, dict(zip(sites, outputs, strict=True)), feed, weights)
            if progress is not None:
                before = low * len(batches)
                progress("calibrating", before + done * len(sites), count * len(batches))
    means = {name: _symmetric(total / len(batches)) for name, total in sums.items()}
    return {name: mean for name, mean in means.items() if mean.any()}


def find_sites(model: "ModelProto", weights: GraphWeights) -> list[Site]:
    """
    Find what a graph multiplies its tensors with.

    Args:
        model: What ``weights.model()`` gave.
        weights: The graph's.

    Returns:
        The sites in the order of the graph.

    """
    transposed = {bank.name for bank in weights.banks if bank.transposed}
    tensors, target = weights.graph.tensors, {tie.name: tie.target for tie in weights.ties}
    found: list[Site] = []
    for use in find_uses(model):
        name = use.origin.name
        stored = target.get(name, name)
        # A matrix that is multiplied from both sides is stored for one of them.
        if name in weights.names and inputs_are_columns(use) is (stored not in transposed):
            found += sites_of(use, tuple(tensors[name].shape))
    return [site for site in found if site.value]


def members_of(weights: GraphWeights, name: str) -> tuple[str, ...]:
    """Return the stored tensors that a tensor of the graph is made of."""
    origin = next((tie.target for tie in weights.ties if tie.name == name), name)
    return next((bank.members for bank in weights.banks if bank.name == origin), (origin,))


def _add(
    sums: dict[str, Tensor],
    session: GraphSession,
    outputs: Mapping[Site, str],
    feed: Batch,
    weights: GraphWeights,
) -> None:
    """Run one batch, and add to the sums of all sites."""
    wanted = tuple(dict.fromkeys(outputs.values()))
    seen = dict(zip(wanted, session.run(wanted, feed), strict=True))
    for site, output in outputs.items():
        members = members_of(weights, site.name)
        value = torch.from_numpy(seen[output])
        cols = matrix_shape(weights.stored[members[0]].shape)[1]
        if not value.numel() or cols > MAX_COLUMNS:
            continue
        for block in site.rows(value):
            _add_block(sums, members, block, cols, site.share)


def _add_block(
    sums: dict[str, Tensor], members: tuple[str, ...], block: Tensor, cols: int, share: float
) -> None:
    """Add the moments of a block (slices, n, columns): one for all members, or one for each."""
    if block.shape[2] != cols or len(block) not in (1, len(members)):
        return
    for rows, part in zip(block, _parts(members, len(block)), strict=True):
        gram = rows.T @ rows * share
        for member in part:
            sums[member] = sums[member] + gram if member in sums else gram


def _parts(members: tuple[str, ...], count: int) -> Iterator[tuple[str, ...]]:
    if count == 1:
        yield members
    else:
        yield from ((member,) for member in members)


def _symmetric(moments: Tensor) -> Tensor:
    upper = moments.triu()
    return upper + upper.triu(1).T
