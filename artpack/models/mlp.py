"""The MLP: two matrices, and between them a leaky ReLU, its square, or SwiGLU."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.models.config import ModelConfig
from artpack.models.linear import Linear, rms_norm


class Mlp(nn.Module):
    """
    ``down(act(up(n)))``; the config's ``mlp_kind`` says what ``act`` is.

    Args:
        config: The model.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        banked = config.names.matrices == "banked"
        self.config = config
        self.up_name, self.down_name = config.names.mlp_up, config.names.mlp_down
        widened = config.mlp_hidden * (2 if config.mlp_kind == "swiglu" else 1)
        self.add_module(self.up_name, Linear(config.model_dim, widened, banked=banked))
        self.add_module(self.down_name, Linear(config.mlp_hidden, config.model_dim, banked=banked))

    def forward(self, n: Tensor, bank: Mapping[str, Tensor]) -> Tensor:
        """
        Run the MLP.

        Args:
            n: (B, T, dim), normed.
            bank: The layer's slices by matrix name, empty where nothing is banked.

        Returns:
            (B, T, dim).

        """
        u = getattr(self, self.up_name)(n, bank.get(f"mlp.{self.up_name}"))
        h = activate(u, self.config)
        if self.config.norm_before_projections:
            h = rms_norm(h, self.config.norm_epsilon)
        y: Tensor = getattr(self, self.down_name)(h, bank.get(f"mlp.{self.down_name}"))
        return y


def activate(u: Tensor, config: ModelConfig) -> Tensor:
    """
    Run what is between the MLP's two matrices.

    Args:
        u: (..., widened).
        config: ``mlp_kind`` and ``mlp_slope``.

    Returns:
        (..., mlp_hidden).

    Source: PR 2086 for everything that is not squared.

    """
    if config.mlp_kind == "swiglu":
        gate, value = u.chunk(2, dim=-1)
        return F.silu(gate) * value
    if config.mlp_kind == "squared":
        return squared_relu(u, config.mlp_slope)
    return F.leaky_relu(u, config.mlp_slope)


def squared_relu(u: Tensor, slope: float) -> Tensor:
    """
    Square a leaky ReLU; slope 0 is relu².

    Args:
        u: Any shape.
        slope: Slope below 0, before the square.

    Returns:
        The same shape, 0 or more.

    """
    return F.leaky_relu(u, slope).square() if slope else F.relu(u).square()
