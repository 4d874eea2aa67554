"""
How much arithmetic a score needs: two operations for each multiplication and addition.

Matrix products only, and of attention only what a causal mask leaves. Whatever else is
run, such as masked scores or padding, lowers the share of the peak that is reported.
"""

from artpack.evaluation.windows.plan import WindowPlan
from artpack.models import ModelConfig


def plan_flops(config: ModelConfig, plan: WindowPlan) -> int:
    """Return the operations that a plan takes: layers on every token, logits where scored."""
    _, length, first = plan.windows.T
    pairs = length * (length + 1) // 2
    multiplied = (
        length.sum() * _matrix_weights(config)
        + pairs.sum() * _attention_products(config)
        + (length - first).sum() * _logit_weights(config)
    )
    return 2 * int(multiplied)


def _matrix_weights(config: ModelConfig) -> int:
    """Return the weights that a token is multiplied with before the logits, repeats included."""
    dim, kv_dim = config.model_dim, config.kv_dim
    layer = 2 * dim * (dim + kv_dim) + 2 * dim * config.mlp_hidden
    if config.head_gate is not None:
        layer += config.num_heads * config.head_gate.window_dims
    weights = _layer_visits(config) * layer
    if config.embedding_dim is not None:
        weights += config.embedding_dim * dim
    if config.bigram is not None:
        weights += config.bigram.dim * dim
    if config.smear is not None:
        weights += config.smear.window_dims
    if config.value_embedding is not None:
        weights += config.value_embedding.dim * kv_dim
    return weights


def _attention_products(config: ModelConfig) -> int:
    """Return the products for a query and a key: their score, and the value that it weighs."""
    return _layer_visits(config) * 2 * config.model_dim


def _logit_weights(config: ModelConfig) -> int:
    narrow = config.embedding_dim
    if narrow is None:
        return config.model_dim * config.vocab_size
    return narrow * (config.model_dim + config.vocab_size)


def _layer_visits(config: ModelConfig) -> int:
    return sum(map(len, config.visits()))
