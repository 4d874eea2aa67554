"""PR 576: full-head attention, a temperature in the checkpoint."""

from artpack.models.config import ModelConfig
from artpack.models.mechanisms import Smear, Softcap, Temperature
from artpack.models.published.arguments import (
    NTK_REFERENCE_TOKENS,
    Arguments,
    ignore_training,
    read_bigram,
    read_ntk_rope,
    read_value_embedding,
    read_widths,
)
from artpack.stages import JsonValue


def read_pr576(config: dict[str, JsonValue]) -> ModelConfig:
    """Read the config of PR 576."""
    args = Arguments("pr576", config.get("constructor_args"))
    dim, head_dim, kv_dim = read_widths(args)
    ignore_training(args)
    model = ModelConfig(
        vocab_size=args.integer("vocab_size"),
        model_dim=dim,
        num_layers=args.integer("num_layers"),
        num_heads=args.integer("num_heads"),
        num_kv_heads=args.integer("num_kv_heads"),
        mlp_hidden=int(dim * args.number("mlp_mult")),
        rope=read_ntk_rope(args, head_dim, _reference_tokens(config)),
        softcap=Softcap("tanh", args.number("logit_softcap")),
        bigram=read_bigram(args, "bigram_vocab_size", dim),
        smear=Smear("channel"),
        value_embedding=read_value_embedding(args, kv_dim),
        xsa_last_layers=args.integer("xsa_last_n"),
        layer_scale=args.flag("ln_scale"),
        tied_head=args.flag("tie_embeddings"),
        temperature=Temperature(stored=True),
        token_gates=args.flag("dtg"),
    )
    args.finish()
    return model


def _reference_tokens(config: dict[str, JsonValue]) -> int:
    """Return the NTK reference, which golden runs may set after construction."""
    overrides = config.get("post_construction_overrides") or {}
    derived = config.get("derived") or {}
    for settings in (overrides, derived):
        if isinstance(settings, dict):
            for name, value in settings.items():
                if name.endswith("train_seq_len") and isinstance(value, int):
                    return value
    return NTK_REFERENCE_TOKENS
