"""
A trained checkpoint against its description, formula by formula.

The demo's model has the mechanisms of lm6m: 5 layers of width 128, 2 heads of one key.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from artpack.demo import CHECKPOINT, CONFIG, write_demo
from artpack.models import build, read_config


def norm(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 2.0**-23).sqrt()


def turn(head: Tensor) -> Tensor:
    """Rotate (T, 64), channel pairs half a head apart."""
    angle = torch.outer(
        torch.arange(len(head), dtype=torch.float64),
        10000.0 ** (-torch.arange(32, dtype=torch.float64) / 32),
    )
    a, b = head[:, :32], head[:, 32:]
    return torch.cat([a * angle.cos() + b * angle.sin(), b * angle.cos() - a * angle.sin()], dim=1)


def attention(x: Tensor, block: dict[str, Tensor]) -> Tensor:
    """Attend head by head, (T, 128)."""
    future = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
    heads = []
    for h in range(2):
        q = x @ block["attn.c_q.weight"][64 * h : 64 * h + 64].T
        k = x @ block["attn.c_k.weight"].T
        q = turn(norm(q)) * block["attn.q_gain"][h]
        scores = (q @ turn(norm(k)).T / 8).masked_fill(future, float("-inf"))
        heads.append(scores.softmax(-1) @ (x @ block["attn.c_v.weight"].T))
    return torch.cat(heads, dim=1) @ block["attn.proj.weight"].T


def reference(weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    """Return the logits of one row."""
    x0 = x = norm(weights["tok_emb.weight"][ids])
    stack: list[Tensor] = []
    for i in range(5):
        prefix = f"blocks.{i}."
        block = {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
        if i in (2, 3):
            x = x + weights["skip_weights"][i - 2] * stack.pop()
        x = block["resid_mix"][0] * x + block["resid_mix"][1] * x0
        x = x + block["attn_scale"] * attention(norm(x), block)
        hidden = (norm(x) @ block["mlp.fc.weight"].T).relu().square()
        x = x + block["mlp_scale"] * (hidden @ block["mlp.proj.weight"].T)
        if i < 2:
            stack.append(x)
    return 30 * (norm(x) @ weights["tok_emb.weight"].T / 30).tanh()


@torch.no_grad()
def test_the_trained_checkpoint_computes_its_description(tmp_path: Path) -> None:
    write_demo(tmp_path)
    weights = load_file(tmp_path / CHECKPOINT)
    config = read_config(json.loads((tmp_path / CONFIG).read_text()))
    exact = {name: weight.double() for name, weight in weights.items()}
    ids = torch.randint(0, 1024, (1, 48), generator=torch.Generator().manual_seed(0))
    expected = reference(exact, ids[0])
    # RoPE tables are float32 in the model whatever its weights are.
    assert (build(config, exact, dtype=None)(ids)[0] - expected).abs().max() < 1e-5
    assert (build(config, weights)(ids)[0] - expected).abs().max() < 1e-4
