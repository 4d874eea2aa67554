"""One layer: attention and MLP on the residual stream, or on two parallel lanes."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from artpack.models.attention import Attention, Shared
from artpack.models.config import ModelConfig
from artpack.models.linear import TokenGate, rms_norm
from artpack.models.mlp import Mlp


class Block(nn.Module):
    """
    Attention and MLP, each scaled by channel, reading a mix of the stream and ``x0``.

    Args:
        config: The model.
        layer: Index of the layer.
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        dim = config.model_dim
        self.epsilon = config.block_norm_epsilon
        self.layer_scale = (layer + 1) ** -0.5 if config.layer_scale else None
        self.attn = Attention(config, layer)
        self.mlp = Mlp(config)
        self.attn_scale = nn.Parameter(torch.ones(dim))
        self.mlp_scale = nn.Parameter(torch.ones(dim))
        self.resid_mix = nn.Parameter(torch.ones(2, dim))
        self.dtg_gate = TokenGate(dim) if config.token_gates else None

    def forward(self, x: Tensor, shared: Shared, bank: Mapping[str, Tensor]) -> Tensor:
        """
        Run the layer on one stream; the residual base is the mix, not ``x``.

        Args:
            x: (B, T, dim).
            shared: What the layers of this pass share.
            bank: The layer's slices by matrix name, empty where nothing is banked.

        Returns:
            (B, T, dim).

        """
        shared.enter(x)
        mixed = self._mix(x, shared)
        middle = mixed + self._attend(mixed, shared, bank)
        out = middle + self._transform(middle, shared, bank)
        return out if self.dtg_gate is None else mixed + self.dtg_gate(mixed) * (out - mixed)

    def branches(
        self, lane0: Tensor, lane1: Tensor, shared: Shared, bank: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """
        Run attention on one lane and the MLP on the other.

        Args:
            lane0: (B, T, dim), mixed with ``x0`` and read by attention.
            lane1: (B, T, dim), read by the MLP.
            shared: What the layers of this pass share.
            bank: The layer's slices by matrix name, empty where nothing is banked.

        Returns:
            What attention and the MLP would add, (B, T, dim) each.

        """
        shared.enter(lane0)
        attended = self._attend(self._mix(lane0, shared), shared, bank)
        return attended, self._transform(lane1, shared, bank)

    def _mix(self, x: Tensor, shared: Shared) -> Tensor:
        mix = self.resid_mix.to(x.dtype)
        return mix[0] * x + mix[1] * shared.x0

    def _attend(self, x: Tensor, shared: Shared, bank: Mapping[str, Tensor]) -> Tensor:
        y: Tensor = self.attn(self._norm(x), shared, bank)
        return self.attn_scale.to(x.dtype) * y

    def _transform(self, x: Tensor, shared: Shared, bank: Mapping[str, Tensor]) -> Tensor:
        n = self._norm(x)
        y = shared.adapted("mlp", n, self.mlp(n, bank))
        return self.mlp_scale.to(x.dtype) * y

    def _norm(self, x: Tensor) -> Tensor:
        n = rms_norm(x, self.epsilon)
        return n if self.layer_scale is None else n * self.layer_scale
