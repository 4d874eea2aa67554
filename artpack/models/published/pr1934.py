"""PR 1934: banked weights, looped layers, two residual lanes."""

from collections.abc import Mapping
from typing import Literal

from artpack.errors import UsageError
from artpack.models.config import ModelConfig
from artpack.models.mechanisms import (
    HeadGate,
    Lanes,
    Loop,
    Names,
    Ntk,
    Rope,
    Skips,
    Smear,
    Softcap,
)
from artpack.models.published.arguments import Arguments
from artpack.stages import JsonValue

_LANE_READ: Mapping[str, Literal["attention", "mlp"]]
_LANE_READ = {"attn": "attention", "mlp": "mlp"}


def read_pr1934(config: dict[str, JsonValue]) -> ModelConfig:
    """Read the config of PR 1934."""
    # This system has one table for everything; what is not the model's is left alone.
    args = Arguments("pr1934", config.get("hyperparameters"))
    layers, dim, heads = (args.integer(n) for n in ("num_layers", "model_dim", "num_heads"))
    smears = args.flag("smear_gate_enabled")
    return ModelConfig(
        vocab_size=args.integer("vocab_size"),
        model_dim=dim,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=args.integer("num_kv_heads"),
        mlp_hidden=int(dim * args.number("mlp_mult")),
        rope=_read_rope(args, dim // heads),
        softcap=Softcap("tanh", args.number("logit_softcap")),
        names=Names(matrices="banked"),
        tied_head=args.flag("tie_embeddings"),
        smear=Smear("token", args.integer("gate_window"), crosses_documents=True)
        if smears
        else None,
        head_gate=_read_gate(args, dim),
        xsa_last_layers=max(args.integer("xsa_last_n"), 0),
        mlp_slope=0.5,
        layer_scale=args.flag("ln_scale"),
        skips=Skips(gated=args.flag("skip_gates_enabled")),
        loop=_read_loop(args),
        lanes=_read_lanes(args, layers),
    )


def _read_rope(args: Arguments, head_dim: int) -> Rope:
    grows = args.flag("rope_yarn")  # which it calls so, but it is an NTK base
    ntk = Ntk(args.integer("train_seq_len"), grows=True) if grows else None
    dims = args.integer("rope_dims") or head_dim
    return Rope(args.number("rope_base"), dims, ntk=ntk, crosses_documents=True)


def _read_gate(args: Arguments, dim: int) -> HeadGate | None:
    """Return the one of three gates that is on."""
    window, scale = args.integer("gate_window"), args.number("sparse_attn_gate_scale")
    query = args.text("attn_out_gate_src") == "q"
    gates = {
        "sparse_attn_gate_enabled": HeadGate(window, scale),
        "gated_attn_enabled": HeadGate(dim),
        "attn_out_gate_enabled": HeadGate(window, 1.0, "gain", "query" if query else "input"),
    }
    on = [name for name in gates if args.flag(name)]
    if len(on) > 1:
        raise UsageError(f"pr1934: only one gate can be on, got {', '.join(on)}")
    return gates[on[0]] if on else None


def _read_loop(args: Arguments) -> Loop | None:
    first, last = args.integer("loop_start"), args.integer("loop_end")
    passes = args.integer("num_loops") + 1
    return None if passes < 2 or first == last + 1 else Loop(first, last, passes)


def _read_lanes(args: Arguments, layers: int) -> Lanes:
    first = args.integer("parallel_start_layer")
    used = first if 0 < first < layers else layers
    return Lanes(used, _LANE_READ.get(args.text("parallel_final_lane"), "mean"))
