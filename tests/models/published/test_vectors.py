"""
Published presets at full size against conformance vectors of the original code.

Weights and tokens come from formulas, so nothing but numbers is needed. Losses
and logits were computed by the original modules on a CPU in float32.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from artpack.models import GPT, Documents, ModelConfig, build, expected_shapes
from artpack.models.presets import preset
from tests.models.published_qat import PR1123_QAT


def mix_bits(x: NDArray[np.uint32], steps: tuple[tuple[int, int], ...]) -> None:
    """Hash 32-bit numbers in place: multiply and fold, step by step."""
    for factor, shift in steps:
        x *= np.uint32(factor)
        x ^= x >> np.uint32(shift)


def uniform(size: int, index: int) -> NDArray[np.float64]:
    """Return the pseudo-random fill of PR 2086 and PR 1123, in [-1, 1)."""
    x = np.arange(size, dtype=np.uint32) + np.uint32(1000003 * index)
    mix_bits(x, ((2654435761, 16), (2246822519, 13), (3266489917, 16)))
    return x / 2.0**31 - 1


def uniform_pr1934(size: int, index: int) -> NDArray[np.float64]:
    """Return the pseudo-random fill of PR 1934, in [-0.5, 0.5)."""
    x = np.arange(size, dtype=np.uint32) + np.uint32(1 + 100003 * (index + 1))
    mix_bits(x, ((2654435761, 15), (2246822519, 13)))
    return x / 2.0**32 - 0.5


def tokens(vocab_size: int) -> tuple[Tensor, Tensor]:
    i = torch.arange(65)
    ids = (7 * i * i + 3 * i + 1) % vocab_size
    return ids[None, :-1], ids[1:]


def losses(model: GPT, ids: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    logits = model(ids)[0]
    return logits, F.cross_entropy(logits, targets, reduction="none")


PR2086_FILL = {
    "resid_mix": (0.0, 0.1),
    "tok_emb": (0.0, 0.5),
    "attn_scale": (1.0, 0.1),
    "mlp_scale": (1.0, 0.1),
    "skip_weights": (1.0, 0.1),
    "q_gain": (5.0, 0.1),
    "vocab_bias": (0.0, 0.1),
    "scale_correction": (1.0, 0.0),
}
PR2086_BLOCK = [
    "attn_scale",
    "mlp_scale",
    "resid_mix",
    "attn.q_gain",
    "attn.c_qkv.weight",
    "attn.c_qkv.scale_correction",
    "attn.proj.weight",
    "attn.proj.scale_correction",
    "mlp.fc.weight",
    "mlp.fc.scale_correction",
    "mlp.proj.weight",
    "mlp.proj.scale_correction",
]
PR2086_ORDER = [
    "skip_weights",
    "vocab_bias",
    "tok_emb.weight",
    "embed_proj.weight",
    "embed_proj_rev.weight",
    *(f"blocks.{i}.{name}" for i in range(10) for name in PR2086_BLOCK),
]

PR1123_FILL = {
    "resid_mix": (0.0, 0.1),
    "tok_emb": (0.0, 0.5),
    "attn_scale": (1.0, 0.1),
    "mlp_scale": (1.0, 0.1),
    "skip_weights": (0.1, 0.1),
    "q_gain": (2.0, 0.1),
    "vr_lambda": (0.5, 0.1),
    "smear.gate": (0.0, 0.1),
    "bigram.scale": (0.05, 0.0),
    "ve_shared.scale": (0.1, 0.0),
    "ve_layer_scales": (1.0, 0.0),
    "bigram": (0.0, 0.5),
    "ve_shared": (0.0, 0.5),
}
PR1123_BLOCK = [
    "attn_scale",
    "mlp_scale",
    "resid_mix",
    "attn.q_gain",
    "attn.vr_lambda",
    "attn.c_q.weight",
    "attn.c_k.weight",
    "attn.c_v.weight",
    "attn.proj.weight",
    "mlp.up.weight",
    "mlp.down.weight",
]
PR1123_ORDER = [
    "skip_weights",
    "tok_emb.weight",
    "smear.gate",
    "bigram.scale",
    "bigram.embed.weight",
    "bigram.proj.weight",
    *(f"blocks.{i}.{name}" for i in range(11) for name in PR1123_BLOCK),
    "ve_shared.scale",
    "ve_shared.embed.weight",
    "ve_shared.proj.weight",
    "ve_layer_scales.0",
    "ve_layer_scales.1",
]

PR1934_FILL = {
    "qo_bank": (0.0, 0.14),
    "kv_bank": (0.0, 0.14),
    "mlp_up_bank": (0.0, 0.14),
    "mlp_down_bank": (0.0, 0.07),
    "tok_emb": (0.0, 0.5),
    "skip_weights": (1.0, 0.5),
    "skip_gates": (0.0, 2.0),
    "parallel_post_lambdas": (1.0, 0.5),
    "parallel_resid_lambdas": (1.1, 0.3),
    "smear_lambda": (0.7, 0.0),
    "smear_gate": (0.0, 4.0),
    "attn_scale": (1.0, 0.5),
    "mlp_scale": (1.0, 0.5),
    "resid_mix": (0.5, 1.0),
    "q_gain": (3.0, 2.0),
    "attn_gate_w": (0.0, 4.0),
}


def centre_and_span(name: str, fill: dict[str, tuple[float, float]]) -> tuple[float, float]:
    return next((pair for part, pair in fill.items() if part in name), (0.0, 0.05))


def fill_weights(
    config: ModelConfig, order: list[str], fill: dict[str, tuple[float, float]]
) -> dict[str, Tensor]:
    """Return the weights of PR 2086 and PR 1123 by formula."""
    shapes = expected_shapes(config)
    weights = {}
    for index, name in enumerate(order):
        centre, span = centre_and_span(name, fill)
        values = span * uniform(int(np.prod(shapes[name])), index).reshape(shapes[name])
        if "resid_mix" in name:
            values += np.array([[1.0], [0.0]])
        weights[name] = torch.from_numpy(np.asarray(centre + values, dtype=np.float32))
    return weights


@torch.no_grad()
def test_pr2086_at_its_published_size() -> None:
    config = preset("pr2086")
    model = build(config, fill_weights(config, PR2086_ORDER, PR2086_FILL))
    logits, loss = losses(model, *tokens(16384))
    assert loss[:3].tolist() == pytest.approx([10.387242, 13.176889, 11.751640], abs=1e-4)
    assert loss.mean().item() == pytest.approx(13.495729, abs=1e-4)
    expected = [1.09301, 0.00876, 0.93473, -0.48560]
    assert logits[-1, :4].tolist() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    ("training", "mean", "last"),
    [
        (None, 17.389887, [-3.99986, -2.36251, 4.41942, -2.52512]),
        (PR1123_QAT, 17.448387, [-5.53571, -4.29525, 3.06737, -0.65201]),
        ((), 17.396526, [-3.49113, -2.90998, 0.72162, -2.23648]),
    ],
)
@torch.no_grad()
def test_pr1123_at_its_published_size(training: object, mean: float, last: list[float]) -> None:
    config = preset("pr1123")
    if isinstance(training, tuple):
        config = replace(config, simulated=training)
    model = build(config, fill_weights(config, PR1123_ORDER, PR1123_FILL))
    logits, loss = losses(model, *tokens(1024))
    assert loss.mean().item() == pytest.approx(mean, abs=1e-4)
    assert logits[-1, :4].tolist() == pytest.approx(last, abs=2e-4)


@pytest.fixture(scope="module")
def pr1934_weights() -> dict[str, Tensor]:
    shapes = expected_shapes(preset("pr1934"))
    weights = {}
    for index, name in enumerate(sorted(shapes)):
        centre, span = centre_and_span(name, PR1934_FILL)
        values = centre + span * uniform_pr1934(int(np.prod(shapes[name])), index)
        weights[name] = torch.from_numpy(values.astype(np.float32)).view(shapes[name])
    return weights


def test_the_fill_of_pr1934_has_the_published_sums(pr1934_weights: dict[str, Tensor]) -> None:
    sums = {
        "tok_emb.weight": -118.231981,
        "blocks.0.attn_scale": 511.484068,
        "blocks.0.mlp_scale": 510.916227,
        "blocks.0.attn.q_gain": 22.247767,
        "blocks.0.attn.attn_gate_w": -10.047578,
    }
    for name, expected in sums.items():
        assert pr1934_weights[name].double().sum().item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("looped", "packed", "first", "middle", "last", "mean", "three"),
    [
        (
            True,
            False,
            [8.16821, 29.20273, 1.78604],
            [-6.0381, -1.95774, 0.09772],
            [-2.45243, 0.94252],
            28.801487,
            [28.62521, 34.31617, 30.49293],
        ),
        (
            True,
            True,
            [8.16821, 29.20273, 1.78604],
            [-5.30757, -1.5603, 0.37926],
            [-1.79194, 1.09678],
            28.776318,
            [28.62521, 33.88695, 30.40705],
        ),
        (
            False,
            False,
            [8.55845, 29.21696, 1.39548],
            [-6.77764, -2.1635, 0.49589],
            [-2.6642, 1.13649],
            28.749853,
            [28.3947, 34.86056, 29.81251],
        ),
        (
            False,
            True,
            [8.55845, 29.21696, 1.39548],
            [-6.03065, -2.14212, 0.64988],
            [-1.77162, 1.1495],
            28.702826,
            [28.3947, 34.50068, 29.81387],
        ),
    ],
)
@torch.no_grad()
def test_pr1934_at_its_published_size(
    pr1934_weights: dict[str, Tensor],
    *,
    looped: bool,
    packed: bool,
    first: list[float],
    middle: list[float],
    last: list[float],
    mean: float,
    three: list[float],
) -> None:
    config = preset("pr1934", faithful=True)
    assert config.loop is not None
    config = replace(config, loop=replace(config.loop, active=looped))
    i = torch.arange(41)
    ids = (31 * i * i + 7 * i + 1) % 8192
    ids[0] = ids[17] = 1
    starts = torch.zeros(1, 40, dtype=torch.bool)
    starts[0, 17] = True
    documents = Documents.from_starts(starts) if packed else None
    logits = build(config, pr1934_weights)(ids[None, :-1], documents)[0]
    loss = F.cross_entropy(logits, ids[1:], reduction="none")
    assert logits[0, 0:3].tolist() == pytest.approx(first, abs=1e-3)
    assert logits[17, 100:103].tolist() == pytest.approx(middle, abs=1e-3)
    assert logits[39, 8190:8192].tolist() == pytest.approx(last, abs=1e-3)
    assert loss.mean().item() == pytest.approx(mean, abs=1e-3)
    assert loss[[0, 17, 39]].tolist() == pytest.approx(three, abs=1e-3)
