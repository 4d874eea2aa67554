"""Low-rank matrices for each of some documents, as one tensor that an optimizer can step."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.evaluation.ttt.recipe import Lora
from artpack.models import ModelConfig
from artpack.models.adapters import Site, site_shape

Draw: TypeAlias = Callable[[int, Mapping[str, tuple[int, int]]], Mapping[str, Tensor]]
"""From a number of documents and each input matrix's (rank, in) to (documents, rank, in)."""

SEED = 0


def uniform(documents: int, shapes: Mapping[str, tuple[int, int]]) -> Mapping[str, Tensor]:
    """
    Draw input matrices, the same for every document and every time.

    So a document's score depends on no other, and not on the number of processes.

    Args:
        documents: How many run at once.
        shapes: Name to (rank, in).

    Returns:
        Name to (documents, rank, in), uniform within ``1 / sqrt(in)`` of 0.

    """
    draw = torch.Generator().manual_seed(SEED)
    drawn = {}
    for name, shape in shapes.items():
        bound = 1 / math.sqrt(shape[1])
        one = torch.empty(shape).uniform_(-bound, bound, generator=draw)
        drawn[name] = one.expand(documents, -1, -1)
    return drawn


class LoraMatrices:
    """
    Matrices of some documents: input matrices ``A`` (rank, in), output matrices ``B`` (out, rank).

    Args:
        recipe: Rank, sites, and what they read.
        config: The model.
        documents: How many documents.
        device: Where they are.

    Attributes:
        flat: (documents, size): all A of a document, then all its B.
        inputs: How much of a row is A.
    """

    def __init__(self, recipe: Lora, config: ModelConfig, documents: int, device: str) -> None:
        if recipe.reads == "stream" and config.lanes is not None:
            raise UsageError(
                "reads = 'stream': this model's layers have two streams; take 'normed'"
            )
        self._recipe = recipe
        shapes = {name: site_shape(config, site) for name, site in _names(recipe, config)}
        rank = recipe.rank
        self._a = {name: (rank, width) for name, (_, width) in shapes.items()}
        self._b = {name: (height, rank) for name, (height, _) in shapes.items()}
        sizes = [math.prod(shape) for part in (self._a, self._b) for shape in part.values()]
        self.inputs = sum(sizes[: len(self._a)])
        self.flat = torch.zeros(documents, sum(sizes), device=device, requires_grad=True)
        self._sizes = sizes

    @torch.no_grad()
    def start(self, draw: Draw, documents: int, mine: slice) -> None:
        """Draw the input matrices of so many documents and keep some of them; outputs become 0."""
        drawn = draw(documents, self._a)
        self.flat[:, : self.inputs] = torch.cat([drawn[n][mine].flatten(1) for n in self._a], dim=1)
        self.restart_outputs()

    @torch.no_grad()
    def restart_outputs(self) -> None:
        """Set the output matrices to 0, which makes all products 0."""
        self.flat[:, self.inputs :] = 0

    def columns(self, of_sites: Mapping[Site, float]) -> Tensor:
        """Return a factor for each number of a document: that of its site, or 1."""
        by_name: Mapping[str, float] = {str(site): factor for site, factor in of_sites.items()}
        names = [name for part in (self._a, self._b) for name in part]
        factors = [by_name.get(name.split(".")[0], 1.0) for name in names]
        return torch.cat([torch.full((n,), f) for n, f in zip(self._sizes, factors, strict=True)])

    def attached(self, flat: Tensor) -> "Attached":
        """Return the matrices in (documents, size) as what a model's projections are added."""
        parts = torch.split(flat, self._sizes, dim=1)
        count = len(self._a)
        shaped = [
            part.reshape(len(part), *shape)
            for part, shape in zip(parts, (*self._a.values(), *self._b.values()), strict=True)
        ]
        pairs = dict(zip(self._a, zip(shaped[:count], shaped[count:], strict=True), strict=True))
        alpha, rank = self._recipe.alpha, self._recipe.rank
        return Attached(pairs, 1.0 if alpha is None else alpha / rank, self._recipe.reads)


@dataclass(frozen=True)
class Attached:
    """
    Matrices of as many documents as there are rows in a batch.

    Attributes:
        pairs: Site and visit to A (B, rank, in) and B (B, out, rank).
        scale: Factor on the products.
        reads: Whether layers' matrices read the normed input or the stream.
    """

    pairs: Mapping[str, tuple[Tensor, Tensor]]
    scale: float
    reads: str

    def in_layer(self, site: Site, visit: int, normed: Tensor, stream: Tensor) -> Tensor | None:
        """Return what is added at a visit of a layer."""
        return self._product(f"{site}.{visit}", normed if self.reads == "normed" else stream)

    def on_head(self, hidden: Tensor) -> Tensor | None:
        """Return what is added to the raw logits."""
        return self._product("head", hidden)

    def _product(self, name: str, x: Tensor) -> Tensor | None:
        if name not in self.pairs:
            return None
        a, b = self.pairs[name]
        return (x @ a.mT) @ b.mT * self.scale


def _names(recipe: Lora, config: ModelConfig) -> Iterator[tuple[str, Site]]:
    visits = sum(map(len, config.visits()))
    for site in recipe.sites:
        if site == "head":
            yield "head", site
        else:
            yield from ((f"{site}.{visit}", site) for visit in range(visits))
