"""A model writes text by itself."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.models.attention import Shared
from artpack.models.gpt import GPT
from artpack.models.kv_cache import KvCache
from artpack.models.rope import rope_tables

_REACH = 3
"""An embedding depends on so many tokens: a smear gate reads the bigram of the token before."""


@torch.no_grad()
def generate(
    model: GPT, uniform: NDArray[np.float32], *, bos_id: int, temperature: float = 1.0
) -> NDArray[np.int64]:
    """
    Let a model write some windows, token by token.

    Args:
        model: In evaluation mode.
        uniform: (windows, tokens) in [0, 1): what each token is drawn with, see
            :func:`draw_tokens`. A window depends on its own row alone.
        bos_id: The first token of every window; its draw is not used.
        temperature: Divides the logits, above 0.

    Returns:
        Token ids, (windows, tokens).

    """
    windows, window_tokens = uniform.shape
    device = model.tok_emb.weight.device
    draws = torch.from_numpy(uniform).to(device)
    ids = torch.full((windows, window_tokens), bos_id, device=device)
    # A RoPE base may depend on the length of the input: that of the whole window counts.
    rotations = rope_tables(model.config.rope, ids)
    memory = KvCache(window_tokens)
    for token in range(window_tokens - 1):
        hidden = _next_hidden(model, ids[:, : token + 1], rotations, memory)
        logits = model.logits(hidden[:, 0]) / temperature
        ids[:, token + 1] = draw_tokens(logits, draws[:, token + 1])
    return ids.cpu().numpy()


def _next_hidden(
    model: GPT, ids: Tensor, rotations: tuple[Tensor, Tensor], memory: KvCache
) -> Tensor:
    """Return the hidden state of the last token (B, 1, dim); those before are in the memory."""
    at = slice(ids.size(1) - 1, ids.size(1))
    cos, sin = (table[at] for table in rotations)
    x0 = model.embed(ids[:, -_REACH:])[:, -1:]
    hidden = model.run(Shared(x0, cos, sin, None, model.values(ids[:, at]), memory=memory))
    memory.advance()
    return hidden


def draw_tokens(logits: Tensor, uniform: Tensor) -> Tensor:
    """
    Draw one token a position by inverting the distribution function.

    Args:
        logits: (n, vocabulary).
        uniform: (n,), in [0, 1).

    Returns:
        int64 (n,).

    >>> draw_tokens(torch.zeros(2, 4), torch.tensor([0.1, 0.6])).tolist()
    [0, 2]

    """
    cumulative = logits.softmax(-1).cumsum(-1)
    sought = uniform.to(cumulative.dtype)[:, None] * cumulative[:, -1:]
    found = torch.searchsorted(cumulative, sought, right=True).squeeze(-1)
    return found.clamp_(max=logits.shape[-1] - 1)
