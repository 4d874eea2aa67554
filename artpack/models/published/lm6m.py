"""lm6m: the plain member of the family."""

from artpack.models.config import ModelConfig
from artpack.models.mechanisms import Rope, Softcap
from artpack.models.published.arguments import Arguments, read_widths
from artpack.stages import JsonValue


def read_lm6m(config: dict[str, JsonValue]) -> ModelConfig:
    """Read the flat config of lm6m."""
    args = Arguments("lm6m", config)
    args.require("activation", "relu2")
    args.require("tied_embeddings", value=True)
    args.ignore("train_window_tokens", "parameters", "scores")
    dim, head_dim, _ = read_widths(args)
    args.require("head_dim", head_dim)
    model = ModelConfig(
        vocab_size=args.integer("vocab_size"),
        model_dim=dim,
        num_layers=args.integer("num_layers"),
        num_heads=args.integer("num_heads"),
        num_kv_heads=args.integer("num_kv_heads"),
        mlp_hidden=args.integer("mlp_hidden"),
        rope=Rope(args.number("rope_base"), args.integer("rope_dims")),
        softcap=Softcap("tanh", args.number("logit_softcap")),
    )
    args.finish()
    return model
