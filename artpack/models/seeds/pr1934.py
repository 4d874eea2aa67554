"""PR 1934: banked weights, looped layers, two residual lanes."""

from collections.abc import Mapping
from typing import Literal

from artpack.models.config import ModelConfig
from artpack.models.mechanisms import HeadGate, Lanes, Loop, Names, Rope, Skips, Smear, Softcap
from artpack.models.seeds.arguments import Arguments
from artpack.stages import JsonValue

_LANE_READ: Mapping[str, Literal["mean", "attention", "mlp"]]
_LANE_READ = {"mean": "mean", "attn": "attention", "mlp": "mlp"}


def read_pr1934(config: dict[str, JsonValue]) -> ModelConfig:
    """Read the config of PR 1934."""
    # This system has one table for everything; what is not the model's is left alone.
    args = Arguments("pr1934", config.get("hyperparameters"))
    args.require("tie_embeddings", value=True)
    for option in ("rope_yarn", "gated_attn_enabled", "attn_out_gate_enabled"):
        args.require(option, value=False)
    layers, dim, heads = (args.integer(n) for n in ("num_layers", "model_dim", "num_heads"))
    window, passes = args.integer("gate_window"), args.integer("num_loops") + 1
    loop = (
        Loop(args.integer("loop_start"), args.integer("loop_end"), passes) if passes > 1 else None
    )
    gate = HeadGate(window, args.number("sparse_attn_gate_scale"))
    return ModelConfig(
        vocab_size=args.integer("vocab_size"),
        model_dim=dim,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=args.integer("num_kv_heads"),
        mlp_hidden=int(dim * args.number("mlp_mult")),
        rope=Rope(
            base=args.number("rope_base"),
            dims=args.integer("rope_dims") or dim // heads,
            crosses_documents=True,
        ),
        softcap=Softcap("tanh", args.number("logit_softcap")),
        names=Names(matrices="banked"),
        smear=Smear("token", window, crosses_documents=True)
        if args.flag("smear_gate_enabled")
        else None,
        head_gate=gate if args.flag("sparse_attn_gate_enabled") else None,
        xsa_last_layers=args.integer("xsa_last_n"),
        mlp_slope=0.5,
        layer_scale=args.flag("ln_scale"),
        skips=Skips(gated=args.flag("skip_gates_enabled")),
        loop=loop,
        lanes=Lanes(
            min(args.integer("parallel_start_layer") or layers, layers),
            args.choice("parallel_final_lane", _LANE_READ),
        ),
    )
