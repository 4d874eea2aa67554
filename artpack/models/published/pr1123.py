"""PR 1123: five-level MLP-up weights, value residual."""

from artpack.models.config import ModelConfig
from artpack.models.mechanisms import Names, Rope, Simulated, Smear, Softcap
from artpack.models.published.arguments import (
    Arguments,
    ignore_training,
    read_bigram,
    read_value_embedding,
    read_widths,
)
from artpack.models.simulate import FakeRowPentanary
from artpack.stages import JsonValue

HIDDEN_MULTIPLE = 64
"""The MLP's width is rounded up to a multiple of this."""


def read_pr1123(config: dict[str, JsonValue]) -> ModelConfig:
    """Read the config of PR 1123."""
    args = Arguments("pr1123", config.get("constructor_args"))
    dim, head_dim, kv_dim = read_widths(args)
    ignore_training(args)
    model = ModelConfig(
        vocab_size=args.integer("vocab_size"),
        model_dim=dim,
        num_layers=args.integer("num_layers"),
        num_heads=args.integer("num_heads"),
        num_kv_heads=args.integer("num_kv_heads"),
        mlp_hidden=_hidden(dim, args.number("hidden_mult")),
        rope=Rope(args.number("rope_base"), args.integer("rope_dims") or head_dim),
        softcap=Softcap("tanh", args.number("logit_softcap")),
        names=Names(mlp_up="up", mlp_down="down"),
        bigram=read_bigram(args, "bigram_vocab", dim),
        smear=Smear("channel") if args.flag("use_smear") else None,
        value_embedding=read_value_embedding(args, kv_dim),
        value_residual=args.flag("value_residual"),
        xsa_last_layers=args.integer("xsa_last_n"),
        mlp_slope=0.5,
        layer_scale=args.flag("ln_scale"),
        tied_head=args.flag("tie_embeddings"),
        block_norm_epsilon=1e-6,
        simulated=(Simulated("*.mlp.up", FakeRowPentanary()),),
    )
    args.finish()
    return model


def _hidden(dim: int, factor: float) -> int:
    return -(-int(dim * factor) // HIDDEN_MULTIPLE) * HIDDEN_MULTIPLE
