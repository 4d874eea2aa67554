import math

import pytest
import torch
from torch import Tensor

from artpack.models.attention import attend
from artpack.models.document_mask import Documents


def slow_attention(q: Tensor, k: Tensor, v: Tensor, document: Tensor) -> Tensor:
    """Attend one query at a time, in float64."""
    batch, tokens, heads, channels = q.shape
    group = heads // k.size(2)
    y = torch.zeros_like(q)
    for b in range(batch):
        for t in range(tokens):
            seen = [s for s in range(t + 1) if document[b, s] == document[b, t]]
            for head in range(heads):
                keys = k[b, seen, head // group]
                scores = keys @ q[b, t, head] / math.sqrt(channels)
                y[b, t, head] = scores.softmax(0) @ v[b, seen, head // group]
    return y


def heads(tokens: int, count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, tokens, count, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attention_is_causal_and_grouped(kv_heads: int) -> None:
    q, k, v = heads(7, 4, 0), heads(7, kv_heads, 1), heads(7, kv_heads, 2)
    expected = slow_attention(q, k, v, torch.zeros(2, 7))
    assert torch.allclose(attend(q, k, v), expected, atol=1e-12)


@pytest.mark.parametrize("kv_heads", [2, 4])
def test_packed_documents_do_not_see_each_other(kv_heads: int) -> None:
    starts = torch.zeros(2, 9, dtype=torch.bool)
    starts[0, [2, 3, 7]] = True
    starts[1, 5] = True
    q, k, v = heads(9, 4, 3), heads(9, kv_heads, 4), heads(9, kv_heads, 5)
    expected = slow_attention(q, k, v, starts.cumsum(1))
    assert torch.allclose(attend(q, k, v, Documents.from_starts(starts)), expected, atol=1e-12)
