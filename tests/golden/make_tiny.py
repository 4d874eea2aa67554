"""
Make the golden case in ``cases/tiny/``: ``python tests/golden/make_tiny.py``.

The model is a small member of the family in its plainest form, computed here in
float64 NumPy straight from its formulas, position by position and window by window,
with nothing of artpack in it.
"""

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

FOLDER = Path(__file__).parent / "cases" / "tiny"
CONFIG = {
    "vocab_size": 48,
    "model_dim": 16,
    "num_layers": 4,
    "num_heads": 2,
    "num_kv_heads": 1,
    "head_dim": 8,
    "mlp_hidden": 32,
    "rope_base": 10000,
    "rope_dims": 8,
    "logit_softcap": 30.0,
    "activation": "relu2",
    "tied_embeddings": True,
}
V, D, LAYERS, HEADS, HEAD, HIDDEN = 48, 16, 4, 2, 8, 32
WINDOW, STRIDE, TOKENS = 24, 7, 500
EPSILON = 2.0**-23

Array = NDArray[np.float64]


def make_weights(draw: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Return random weights with every mechanism switched on."""
    shapes: dict[str, tuple[int, ...]] = {"tok_emb.weight": (V, D)}
    near: dict[str, tuple[int, ...]] = {"skip_weights": (LAYERS // 2, D)}
    for i in range(LAYERS):
        block = f"blocks.{i}"
        near |= {f"{block}.attn_scale": (D,), f"{block}.mlp_scale": (D,)}
        near |= {f"{block}.resid_mix": (2, D), f"{block}.attn.q_gain": (HEADS,)}
        shapes |= {f"{block}.attn.{name}.weight": (D, D) for name in ("c_q", "proj")}
        shapes |= {f"{block}.attn.{name}.weight": (HEAD, D) for name in ("c_k", "c_v")}
        shapes |= {f"{block}.mlp.fc.weight": (HIDDEN, D), f"{block}.mlp.proj.weight": (D, HIDDEN)}
    weights = {name: draw.normal(0, 0.4, shape) for name, shape in shapes.items()}
    weights |= {name: draw.normal(1, 0.3, shape) for name, shape in near.items()}
    return {name: weight.astype(np.float32) for name, weight in weights.items()}


def rms(x: Array) -> Array:
    """Divide by the root mean square over the last axis."""
    normed: Array = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + EPSILON)
    return normed


def rotate(x: Array) -> Array:
    """Rotate heads (T, heads, HEAD) by their position, first half with second."""
    half = HEAD // 2
    angle = np.outer(np.arange(len(x)), 10000.0 ** (-np.arange(half) / half))[:, None]
    a, b = x[..., :half], x[..., half:]
    cos, sin = np.cos(angle), np.sin(angle)
    return np.concatenate([a * cos + b * sin, b * cos - a * sin], axis=-1)


def attend(q: Array, k: Array, v: Array) -> Array:
    """Return causal softmax attention of one head; q, k and v are (T, HEAD)."""
    scores = q @ k.T / math.sqrt(HEAD)
    scores[np.triu_indices(len(q), 1)] = -np.inf
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: Array = shares / shares.sum(axis=1, keepdims=True) @ v
    return result


def run(weights: dict[str, Array], ids: NDArray[np.int64]) -> Array:
    """Return the logits (T, V) of one window."""
    x = x0 = rms(weights["tok_emb.weight"][ids])
    stack: list[Array] = []
    for i in range(LAYERS):
        own = {n.split(".", 2)[2]: w for n, w in weights.items() if n.startswith(f"blocks.{i}.")}
        if i >= LAYERS // 2:
            x = x + weights["skip_weights"][i - LAYERS // 2] * stack.pop()
        x = own["resid_mix"][0] * x + own["resid_mix"][1] * x0
        n = rms(x)
        q, k, v = (n @ own[f"attn.{name}.weight"].T for name in ("c_q", "c_k", "c_v"))
        q = rotate(rms(q.reshape(-1, HEADS, HEAD))) * own["attn.q_gain"][:, None]
        k = rotate(rms(k[:, None]))[:, 0]
        y = np.concatenate([attend(q[:, h], k, v) for h in range(HEADS)], axis=1)
        x = x + own["attn_scale"] * (y @ own["attn.proj.weight"].T)
        h = np.maximum(rms(x) @ own["mlp.fc.weight"].T, 0)
        x = x + own["mlp_scale"] * (h * h @ own["mlp.proj.weight"].T)
        if i < LAYERS // 2:
            stack.append(x)
    logits: Array = 30 * np.tanh(rms(x) @ weights["tok_emb.weight"].T / 30)
    return logits


def losses(logits: Array, targets: NDArray[np.int64]) -> Array:
    """Return the loss of each position."""
    largest = logits.max(axis=-1)
    total = largest + np.log(np.exp(logits - largest[..., None]).sum(axis=-1))
    result: Array = total - np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    return result


def windows(targets: int, stride: int) -> list[tuple[int, int, int]]:
    """Return start, end and first scored target of windows that score each target once."""
    found, scored, start = [], 0, 0
    while scored < targets:
        end = min(start + WINDOW, targets)
        found.append((start, end, scored))
        scored, start = end, start + stride
    return found


def evaluate(weights: dict[str, Array], ids: NDArray[np.int64], stride: int) -> Array:
    """Return the loss of every target of a stream."""
    parts = []
    for start, end, scored in windows(len(ids) - 1, stride):
        part = losses(run(weights, ids[start:end]), ids[start + 1 : end + 1])
        parts.append(part[scored - start :])
    return np.concatenate(parts)


def count_bytes(luts: dict[str, Any], ids: NDArray[np.int64]) -> int:
    """Return the bytes that the targets of a stream stand for."""
    total = 0
    for before, target in pairwise(ids):
        space = luts["has_leading_space"][target] and not luts["is_boundary_token"][before]
        total += int(luts["base_bytes"][target]) + bool(space)
    return total


def main() -> None:
    """Write the case."""
    draw = np.random.default_rng(20240520)
    stored = make_weights(draw)
    weights = {name: weight.astype(np.float64) for name, weight in stored.items()}
    stream = draw.integers(4, V, TOKENS)
    starts = [0, 40, 43, 150, 151, 290, 420]
    stream[starts] = 1
    luts: dict[str, Any] = {
        "base_bytes": np.r_[np.zeros(4), draw.integers(1, 9, V - 4)].astype(np.int16),
        "has_leading_space": np.r_[np.zeros(4), draw.integers(0, 2, V - 4)].astype(np.bool_),
        "is_boundary_token": np.arange(V) < 4,
    }
    ends = [*starts[1:], TOKENS - 1]
    documents = [stream[start : end + 1] for start, end in zip(starts, ends, strict=True)]
    nll: dict[str, Any] = {
        "sequential_nll": evaluate(weights, stream, WINDOW),
        "sliding_nll": evaluate(weights, stream, STRIDE),
        "documents_nll": np.concatenate([evaluate(weights, d, STRIDE) for d in documents]),
    }
    text = count_bytes(luts, stream)
    evals: dict[str, object] = {"arguments": {"window_tokens": WINDOW, "stride_tokens": STRIDE}}
    for name, values in nll.items():
        evals[name.removesuffix("_nll")] = {
            "val_loss": values.mean(),
            "val_bpb": values.sum() / math.log(2) / text,
            "loss_sum": values.sum(),
            "tokens": len(values),
            "bytes": text,
        }
    inputs, targets = stream[:48].reshape(2, 24), stream[1:49].reshape(2, 24)
    logits = np.stack([run(weights, row) for row in inputs])
    FOLDER.mkdir(exist_ok=True)
    save_file(stored, FOLDER / "state_dict.safetensors")
    np.save(FOLDER / "val.npy", stream.astype(np.uint16))
    np.savez_compressed(FOLDER / "luts.npz", **luts)
    np.savez_compressed(
        FOLDER / "evals_tokens.npz", **{n: v.astype(np.float32) for n, v in nll.items()}
    )
    np.savez_compressed(
        FOLDER / "io.npz",
        input_ids=inputs,
        target_ids=targets,
        logits=logits.astype(np.float32),
        losses=losses(logits, targets).astype(np.float32),
    )
    for name, value in (("config", CONFIG), ("evals", evals)):
        (FOLDER / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n")


if __name__ == "__main__":
    main()
