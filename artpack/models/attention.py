"""Grouped-query causal attention with everything that the family adds to it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.models.adapters import Adapters, Site
from artpack.models.config import ModelConfig
from artpack.models.document_mask import Documents
from artpack.models.gates import exclude_self, head_gate
from artpack.models.kv_cache import KvCache
from artpack.models.linear import Linear, rms_norm
from artpack.models.mechanisms import HeadGate
from artpack.models.rope import rotate


@dataclass
class Shared:
    """
    What the layers of one forward pass share.

    Attributes:
        x0: (B, T, dim), the normed embedding.
        cos: RoPE table.
        sin: RoPE table.
        documents: Packed documents.
        values: Value embedding by layer, (B, T, kv_dim).
        memory: Earlier tokens; then T is 1.
        adapters: What is added to projections, if anything.
        first_value: (B, T, kv_heads, head_dim), set by the first layer that runs.
        visit: Number of the layer's visit that is under way, from 0.
        stream: (B, T, dim), what entered that layer.
    """

    x0: Tensor
    cos: Tensor
    sin: Tensor
    documents: Documents | None
    values: Mapping[int, Tensor]
    memory: KvCache | None = None
    adapters: Adapters | None = None
    first_value: Tensor | None = None
    visit: int = -1
    stream: Tensor | None = None

    def enter(self, stream: Tensor) -> None:
        """Begin the visit of a layer."""
        self.visit, self.stream = self.visit + 1, stream

    def adapted(self, site: Site, normed: Tensor, y: Tensor) -> Tensor:
        """Return a projection's output with what is added to it."""
        if self.adapters is None:
            return y
        assert self.stream is not None
        added = self.adapters.in_layer(site, self.visit, normed, self.stream)
        return y if added is None else y + added


class Attention(nn.Module):
    """
    Causal attention of one layer.

    Args:
        config: The model.
        layer: Index of the layer.
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        dim, banked = config.model_dim, config.names.matrices == "banked"
        self.config, self.layer = config, layer
        self.excludes_self = layer >= config.num_layers - config.xsa_last_layers
        if config.names.matrices == "fused_qkv":
            self.c_qkv = Linear(dim, dim + 2 * config.kv_dim)
        else:
            self.c_q = Linear(dim, dim, banked=banked)
            self.c_k = Linear(dim, config.kv_dim, banked=banked)
            self.c_v = Linear(dim, config.kv_dim, banked=banked)
        self.proj = Linear(dim, dim, banked=banked)
        self.q_gain = nn.Parameter(torch.ones(config.num_heads))
        if config.value_residual:
            self.vr_lambda = nn.Parameter(torch.full((2,), 0.5))
        gate = config.head_gate
        if gate is not None and gate.kind == "share":
            self.attn_gate_w = nn.Parameter(torch.zeros(config.num_heads, gate.window_dims))
        elif gate is not None:
            self.attn_gate_proj = Linear(gate.window_dims, config.num_heads)

    def forward(self, n: Tensor, shared: Shared, bank: Mapping[str, Tensor]) -> Tensor:
        """
        Run the layer's attention.

        Args:
            n: (B, T, dim), normed.
            shared: What the layers of this pass share.
            bank: The layer's slices by matrix name, empty where nothing is banked.

        Returns:
            (B, T, dim).

        """
        epsilon = self.config.norm_epsilon
        q, k, v = self._heads(n, shared, bank)
        raw_query = q.flatten(2)
        if self.config.value_residual:
            v = self._mix_first_value(v, shared)
        q = rotate(rms_norm(q, epsilon), shared.cos, shared.sin)
        k = rotate(rms_norm(k, epsilon), shared.cos, shared.sin)
        q = q * self.q_gain.to(q.dtype)[:, None]
        seen = (k, v) if shared.memory is None else shared.memory.extend(k, v)
        y = attend(q.to(v.dtype), seen[0].to(v.dtype), seen[1], shared.documents)
        if self.excludes_self:
            y = exclude_self(y, v)
        if self.config.head_gate is not None:
            y = y * self._gate(self.config.head_gate, n, raw_query)
        y = y.flatten(2)
        if self.config.norm_before_projections:
            y = rms_norm(y, epsilon)
        return shared.adapted("o", n, self.proj(y, bank.get("attn.proj")))

    def _gate(self, gate: HeadGate, n: Tensor, raw_query: Tensor) -> Tensor:
        """Return (B, T, heads, 1)."""
        read = n if gate.reads == "input" else raw_query
        if gate.kind == "share":
            return head_gate(read, self.attn_gate_w, gate.scale)
        opened: Tensor = self.attn_gate_proj(read[..., : gate.window_dims])
        return 2 * torch.sigmoid(gate.scale * opened).unsqueeze(-1)

    def _heads(
        self, n: Tensor, shared: Shared, bank: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        config = self.config
        if config.names.matrices == "fused_qkv":
            q, k, v = self.c_qkv(n).split([config.model_dim, config.kv_dim, config.kv_dim], dim=-1)
        else:
            q = self.c_q(n, bank.get("attn.c_q"))
            k = self.c_k(n, bank.get("attn.c_k"))
            v = self.c_v(n, bank.get("attn.c_v"))
        q, k, v = shared.adapted("q", n, q), shared.adapted("k", n, k), shared.adapted("v", n, v)
        if self.layer in shared.values:
            v = v + shared.values[self.layer].to(v.dtype)
        if config.gated_values:
            v = v * v.sigmoid()
        q, k, v = (part.view(*part.shape[:2], -1, config.head_dim) for part in (q, k, v))
        return q, k, v

    def _mix_first_value(self, v: Tensor, shared: Shared) -> Tensor:
        if shared.first_value is None:
            shared.first_value = v
            return v
        share = self.vr_lambda.to(v.dtype)
        return share[0] * shared.first_value + share[1] * v


def attend(q: Tensor, k: Tensor, v: Tensor, documents: Documents | None = None) -> Tensor:
    """
    Run causal softmax attention, each document by itself.

    Args:
        q: (B, T, heads, channels); a single query is taken to be the last token's.
        k: (B, T, kv_heads, channels); consecutive query heads share one.
        v: Likewise.
        documents: Packed documents; None makes each row one document.

    Returns:
        (B, T, heads, channels); scores are scaled by ``1 / sqrt(channels)``.

    """
    if documents is None:
        return _attend_rows(q, k, v)
    flat = [part.flatten(0, 1) for part in (q, k, v)]
    groups = [_attend_rows(*(part[gather] for part in flat)) for gather in documents.gathers]
    packed = torch.cat([group.flatten(0, 1) for group in groups])
    return packed[documents.scatter].view_as(q)


def _attend_rows(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    y: Tensor = F.scaled_dot_product_attention(
        q.transpose(1, 2),
        k.transpose(1, 2),
        v.transpose(1, 2),
        is_causal=q.size(1) > 1,
        enable_gqa=q.size(2) != k.size(2),
    )
    return y.transpose(1, 2)
