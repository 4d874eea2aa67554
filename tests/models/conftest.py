"""Every published model in a size that a test can afford."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from artpack.models import GPT, ModelConfig, build, expected_shapes
from artpack.models.mechanisms import Bigram, HeadGate, Lanes, Loop, Simulated, ValueEmbedding
from artpack.models.presets import PRESETS
from artpack.models.simulate import GroupQuinary


def shrink(config: ModelConfig) -> ModelConfig:
    """Return a model with the same mechanisms, 5 layers of width 48."""
    full = config.rope.dims == config.head_dim
    return replace(
        config,
        vocab_size=61,
        model_dim=48,
        num_layers=5,
        num_heads=4,
        num_kv_heads=2,
        mlp_hidden=60,
        rope=replace(config.rope, dims=12 if full else 8),
        embedding_dim=config.embedding_dim and 20,
        bigram=config.bigram and Bigram(32, 10),
        smear=config.smear and replace(config.smear, window_dims=min(config.smear.window_dims, 6)),
        value_embedding=config.value_embedding and ValueEmbedding(10, (3, 4)),
        head_gate=config.head_gate and HeadGate(6),
        xsa_last_layers=min(config.xsa_last_layers, 4),
        loop=config.loop and Loop(1, 2, 3),
        lanes=config.lanes and Lanes(3),
        simulated=tuple(
            Simulated(
                rule.names, GroupQuinary(12) if "quinary" in rule.grid.stage_id else rule.grid
            )
            for rule in config.simulated
        ),
    )


def random_weights(config: ModelConfig, seed: int = 0) -> dict[str, Tensor]:
    """Return normal weights, and 1 plus some noise for everything that scales."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in expected_shapes(config).items():
        noise = torch.randn(shape, generator=generator)
        is_matrix = name.endswith(("weight", "bank"))
        weights[name] = noise / shape[-1] ** 0.5 if is_matrix else 1 + 0.2 * noise
    return weights


@pytest.fixture(params=PRESETS)
def tiny(request: pytest.FixtureRequest, make_tiny: Callable[[str], GPT]) -> GPT:
    """Return each published model, shrunken."""
    return make_tiny(request.param)


@pytest.fixture
def make_tiny() -> Callable[[str], GPT]:
    """Return a function that shrinks a preset: float64, random weights."""

    def make(name: str) -> GPT:
        config = shrink(PRESETS[name].config)
        return build(config, random_weights(config), dtype=torch.float64)

    return make
