"""Adapters: places where something may be added to a model's projections, as LoRA does."""

from typing import Literal, Protocol, TypeAlias

from torch import Tensor

from artpack.models.config import ModelConfig

Site: TypeAlias = Literal["q", "k", "v", "o", "mlp", "head"]


class Adapters(Protocol):
    """
    What is added to the outputs of some projections.

    A layer that is visited repeatedly may be given something else at each visit.
    """

    def in_layer(self, site: Site, visit: int, normed: Tensor, stream: Tensor) -> Tensor | None:
        """
        Return what is added at a visit of a layer.

        Args:
            site: ``q``, ``k``, ``v``: to the projection's output, before heads are split;
                ``o``: to the attention's output; ``mlp``: to the MLP's.
            visit: Number of the visit, from 0.
            normed: (B, T, dim), what the attention or the MLP reads.
            stream: (B, T, dim), what entered the layer.

        Returns:
            (B, T, width), or None for nothing.

        """

    def on_head(self, hidden: Tensor) -> Tensor | None:
        """
        Return what is added to the raw logits.

        Args:
            hidden: (B, ..., width), what the vocabulary projection reads; rows in order.

        Returns:
            (B, ..., vocabulary), or None for nothing.

        """


def site_shape(config: ModelConfig, site: Site) -> tuple[int, int]:
    """
    Return the channels that a site adds to and those that it may read.

    Args:
        config: The model.
        site: The site.

    Returns:
        Channels out and in.

    """
    if site == "head":
        narrow = config.embedding_dim if config.tied_head else None
        return config.vocab_size, narrow or config.model_dim
    return config.kv_dim if site in ("k", "v") else config.model_dim, config.model_dim
