"""
Write a small checkpoint to try artpack on: a transformer of 1.1 million random weights.

Until the package carries a trained model, the demo runs on this. The weights are
Gaussian with a spread of their own in every row, as trained ones have, so sizes
are realistic; there is no language in them.
"""

import sys

import torch

WIDTH, LAYERS, VOCABULARY = 128, 4, 1024


def main(path: str) -> None:
    """Write the checkpoint; the same bytes every time."""
    generator = torch.Generator().manual_seed(0)

    def matrix(rows: int, cols: int) -> torch.Tensor:
        spread = torch.exp(0.3 * torch.randn(rows, 1, generator=generator))
        return 0.02 * spread * torch.randn(rows, cols, generator=generator)

    weights = {"tok_emb.weight": matrix(VOCABULARY, WIDTH)}
    for layer in range(LAYERS):
        prefix = f"blocks.{layer}"
        for name in ("c_q", "c_k", "c_v", "proj"):
            weights[f"{prefix}.attn.{name}.weight"] = matrix(WIDTH, WIDTH)
        weights[f"{prefix}.mlp.fc.weight"] = matrix(4 * WIDTH, WIDTH)
        weights[f"{prefix}.mlp.proj.weight"] = matrix(WIDTH, 4 * WIDTH)
        weights[f"{prefix}.norm"] = 1 + 0.1 * torch.randn(WIDTH, generator=generator)
    weights["lm_head.weight"] = weights["tok_emb.weight"]
    torch.save({"model": weights, "step": 1000}, path)


if __name__ == "__main__":
    main(sys.argv[1])
