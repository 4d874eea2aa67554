"""PR 826: slope 0.9, temperature before the softcap."""

from artpack.models.config import ModelConfig
from artpack.models.mechanisms import Names, Skips, Smear, Softcap, Temperature
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


def read_pr826(config: dict[str, JsonValue]) -> ModelConfig:
    """Read the config of PR 826."""
    experiment = config.get("experiment_config")
    values = experiment.get("model") if isinstance(experiment, dict) else None
    args = Arguments("pr826", values)
    args.require("lower_replace_layers", 0)
    ignore_training(args, "local_shared_blocks", "local_kernel_size", "use_flash_attn")
    dim, head_dim, kv_dim = read_widths(args)
    slope, limit = args.number("leaky_relu_slope"), args.number("logit_softcap")
    model = ModelConfig(
        vocab_size=Arguments("pr826", config).integer("vocab_size"),
        model_dim=dim,
        num_layers=args.integer("num_layers"),
        num_heads=args.integer("num_heads"),
        num_kv_heads=args.integer("num_kv_heads"),
        mlp_hidden=int(dim * args.number("mlp_mult")),
        rope=read_ntk_rope(args, head_dim, NTK_REFERENCE_TOKENS),
        softcap=Softcap("tanh", limit) if limit > 0 else None,
        names=Names(blocks="upper_blocks"),
        bigram=read_bigram(args, "bigram_vocab_size", dim),
        smear=Smear("channel"),
        value_embedding=read_value_embedding(args, kv_dim),
        xsa_last_layers=args.integer("xsa_last_n"),
        mlp_slope=args.choice("activation_mode", {"leaky_relu2": slope, "relu2": 0.0}),
        layer_scale=args.flag("ln_scale"),
        tied_head=args.flag("tie_embeddings"),
        skips=Skips(rows=args.flag("use_unet_skips")),
        gated_values=args.flag("glu_values"),
        temperature=Temperature(before_softcap=True),
    )
    args.finish()
    return model
