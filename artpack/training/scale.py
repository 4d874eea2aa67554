"""A published model made smaller, with every mechanism that it has."""

from dataclasses import replace
from typing import TypeVar

from artpack.errors import UsageError
from artpack.models.config import ModelConfig
from artpack.models.mechanisms import Bigram, ValueEmbedding

AnyTable = TypeVar("AnyTable", Bigram, ValueEmbedding)


def scale_model(
    config: ModelConfig, *, vocab_size: int, layers: int | None = None, width: int | None = None
) -> ModelConfig:
    """
    Scale a model in depth and width, for another vocabulary.

    Args:
        config: The model.
        vocab_size: Of the tokenizer at hand.
        layers: Number of layers; those that some mechanism names keep their place
            relative to the last one.
        width: Of the residual stream. Heads keep their width as far as that divides it,
            everything else its proportion.

    Returns:
        The smaller model, valid with the same mechanisms.

    Raises:
        UsageError: The width cannot be divided into heads.

    >>> from artpack.models import preset
    >>> small = scale_model(preset("pr1934"), vocab_size=1024, layers=6, width=192)
    >>> small.num_heads, small.num_kv_heads, small.mlp_hidden, small.loop.first, small.lanes
    (4, 2, 768, 2, Lanes(first_layer=4, read='mean'))

    """
    narrowed = config if width is None else _narrowed(config, width)
    shortened = narrowed if layers is None else _shortened(narrowed, layers)
    return replace(shortened, vocab_size=vocab_size)


def _narrowed(config: ModelConfig, width: int) -> ModelConfig:
    ratio = width / config.model_dim
    queries_a_kv = config.num_heads // config.num_kv_heads
    kv_heads = max(1, round(config.num_kv_heads * ratio))
    heads = kv_heads * queries_a_kv
    if width % heads or width // heads % 2:
        raise UsageError(f"width {width} is not {heads} heads of an even number of channels")
    head_dim = width // heads
    full_rope = config.rope.dims == config.head_dim
    dims = head_dim if full_rope else min(config.rope.dims, head_dim)
    bigram, value, narrow = config.bigram, config.value_embedding, config.embedding_dim
    return replace(
        config,
        model_dim=width,
        num_heads=heads,
        num_kv_heads=kv_heads,
        mlp_hidden=round(config.mlp_hidden * ratio),
        rope=replace(config.rope, dims=dims),
        embedding_dim=narrow and max(1, round(narrow * ratio)),
        bigram=bigram and _narrowed_table(bigram, ratio, width),
        value_embedding=value and _narrowed_table(value, ratio, kv_heads * head_dim),
    )


def _narrowed_table(table: AnyTable, ratio: float, target_dim: int) -> AnyTable:
    dim = max(1, round(table.dim * ratio)) if table.projected else target_dim
    return replace(table, dim=dim)


def _shortened(config: ModelConfig, layers: int) -> ModelConfig:
    ratio = layers / config.num_layers
    value, loop, lanes = config.value_embedding, config.loop, config.lanes
    moved = layers - config.num_layers
    kept = tuple(layer + moved for layer in value.layers if layer + moved >= 0) if value else ()
    if loop is not None:
        first = round(loop.first * ratio)
        last = max(first, round((loop.last + 1) * ratio) - 1)
        loop = replace(loop, first=first, last=last)
    if lanes is not None:
        lanes = replace(lanes, first_layer=round(lanes.first_layer * ratio))
    return replace(
        config,
        num_layers=layers,
        xsa_last_layers=min(layers, round(config.xsa_last_layers * ratio)),
        value_embedding=replace(value, layers=kept) if value and kept else None,
        loop=loop,
        lanes=lanes,
    )
