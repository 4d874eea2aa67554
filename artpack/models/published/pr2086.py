"""PR 2086: quinary weights, fused queries, keys and values, factored embedding."""

from typing import Literal

from artpack.models.config import ModelConfig
from artpack.models.mechanisms import Names, Rope, Simulated, Softcap, Yarn
from artpack.models.published.arguments import Arguments, ignore_training
from artpack.models.simulate import Float8, GroupQuinary
from artpack.stages import JsonValue

Activation = tuple[Literal["squared", "plain", "swiglu"], float]

RELU2: Activation = ("squared", 0.0)
ACTIVATIONS: dict[str, Activation] = {
    "swiglu": ("swiglu", 0.0),
    "relu": ("plain", 0.0),
    "leaky_relu": ("plain", 0.01),
    "leaky_relu2": ("squared", 0.5),
}
"""Any other word means relu²."""


def read_pr2086(config: dict[str, JsonValue]) -> ModelConfig:
    """Read the config of PR 2086."""
    args = Arguments("pr2086", config.get("constructor_args"))
    kind, slope = ACTIVATIONS.get(args.text("activation"), RELU2)
    trained, reach = args.integer("train_seq_len"), args.integer("yarn_max_len")
    bends = args.text("rope_type") == "yarn"
    dim, heads = args.integer("model_dim"), args.integer("num_heads")
    embedding_dim = args.integer("embed_dim")
    ignore_training(args, "no_cache")
    model = ModelConfig(
        vocab_size=args.integer("vocab_size"),
        model_dim=dim,
        num_layers=args.integer("num_layers"),
        num_heads=heads,
        num_kv_heads=args.integer("num_kv_heads"),
        mlp_hidden=dim * args.integer("mlp_mult"),
        rope=Rope(
            base=args.number("rope_base"),
            dims=dim // heads,
            yarn=Yarn(trained, reach) if bends else None,
        ),
        softcap=Softcap(
            "tanh" if args.text("softcap_type") == "tanh" else "poly5",
            args.number("logit_softcap"),
        ),
        names=Names(mlp_up="gate_up" if kind == "swiglu" else "fc", matrices="fused_qkv"),
        tied_head=args.flag("tie_embeddings"),
        embedding_dim=embedding_dim if embedding_dim > 0 and embedding_dim != dim else None,
        mlp_kind=kind,
        mlp_slope=slope,
        norm_before_projections=True,
        vocab_bias=True,
        simulated=(
            Simulated("tok_emb", Float8()),
            Simulated("lm_head", Float8()),
            Simulated("embed_proj*", Float8()),
            Simulated("blocks.*", GroupQuinary(args.integer("group_size"), bf16=True)),
        ),
    )
    args.finish()
    return model
