"""Banked weights: one tensor holds a kind of matrix for all layers."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from artpack.models.config import ModelConfig

BANKS = ("qo_bank", "kv_bank", "mlp_up_bank", "mlp_down_bank")
NO_BANK: Mapping[str, Tensor] = {}
"""What a layer whose matrices are its own gets instead of slices."""


def make_banks(config: ModelConfig) -> dict[str, nn.Parameter]:
    """
    Make the banks of a model.

    Args:
        config: The model.

    Returns:
        Name to bank. ``qo_bank`` holds all queries and then all outputs, ``kv_bank`` all
        keys and then all values.

    Source: PR 1934.

    """
    layers, dim, hidden = config.num_layers, config.model_dim, config.mlp_hidden
    shapes = {
        "qo_bank": (2 * layers, dim, dim),
        "kv_bank": (2 * layers, config.kv_dim, dim),
        "mlp_up_bank": (layers, hidden, dim),
        "mlp_down_bank": (layers, dim, hidden),
    }
    return {name: nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()}


def bank_slices(
    config: ModelConfig, banks: Mapping[str, Tensor], layer: int
) -> Mapping[str, Tensor]:
    """
    Return the matrices of one layer.

    Args:
        config: The model.
        banks: What :func:`make_banks` made.
        layer: Index of the layer.

    Returns:
        Matrix name within the block, without ``.weight``, to a view of its bank.

    """
    second = config.num_layers + layer
    return {
        "attn.c_q": banks["qo_bank"][layer],
        "attn.c_k": banks["kv_bank"][layer],
        "attn.c_v": banks["kv_bank"][second],
        "attn.proj": banks["qo_bank"][second],
        f"mlp.{config.names.mlp_up}": banks["mlp_up_bank"][layer],
        f"mlp.{config.names.mlp_down}": banks["mlp_down_bank"][layer],
    }
