"""The MLP: a squared, possibly leaky ReLU between two matrices."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.models.config import ModelConfig
from artpack.models.linear import Linear, rms_norm


class Mlp(nn.Module):
    """
    ``down(act(up(n)))`` with ``act(u) = max(u, slope * u)²``.

    Args:
        config: The model.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        banked = config.names.matrices == "banked"
        self.config = config
        self.up_name, self.down_name = config.names.mlp_up, config.names.mlp_down
        self.add_module(self.up_name, Linear(config.model_dim, config.mlp_hidden, banked=banked))
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
        h = squared_relu(u, self.config.mlp_slope)
        if self.config.norm_before_projections:
            h = rms_norm(h, self.config.norm_epsilon)
        y: Tensor = getattr(self, self.down_name)(h, bank.get(f"mlp.{self.down_name}"))
        return y


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
