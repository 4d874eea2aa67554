"""A model recognised by the names and shapes of a checkpoint's tensors."""

import re
from collections.abc import Mapping
from dataclasses import fields

from artpack.errors import CheckpointError, UsageError
from artpack.models.build import check_shapes, expected_shapes
from artpack.models.config import ModelConfig
from artpack.models.presets import PRESETS
from artpack.stages import Config, JsonValue

Shapes = Mapping[str, tuple[int, ...]]

MLP_NAMES = (("fc", "proj"), ("up", "down"), ("gate_up", "proj"))
"""Names of the MLP's two matrices."""


def recognize(shapes: Shapes, answers: Mapping[str, JsonValue] | None = None) -> ModelConfig:
    """
    Find the model that a checkpoint belongs to.

    A checkpoint with exactly the tensors of a preset is that preset. Of any other,
    names and shapes give what they can, and everything else has to be answered.

    Args:
        shapes: Name to shape of every tensor.
        answers: Fields of :class:`ModelConfig` as JSON; they win over what shapes tell.

    Returns:
        The model.

    Raises:
        UsageError: Fields are left to answer (the message lists them), an answer is
            wrong, or this is not a checkpoint of the family.

    """
    for preset in PRESETS.values():
        # A model takes time to build, if only for its shapes: first of all it must have its table.
        table = (preset.config.vocab_size, preset.config.embedding_dim or preset.config.model_dim)
        fits = answers is None and table in shapes.values()
        if fits and expected_shapes(preset.config) == shapes:
            return preset.config
    told = {**read_shapes(shapes), **(answers or {})}
    values = told.get("value_embedding")
    if isinstance(values, dict):
        told["value_embedding"] = {"projected": "ve_shared.proj.weight" in shapes, **values}
    asked = [field.name for field in fields(ModelConfig) if field.name not in told]
    if asked:
        raise UsageError(f"tensor shapes do not tell the model's {', '.join(asked)}: state them")
    config = ModelConfig.from_json(told)
    try:
        check_shapes(expected_shapes(config), shapes)
    except CheckpointError as error:
        raise UsageError(f"the model described is another one: {error}") from None
    return config


def read_shapes(shapes: Shapes) -> Config:
    """
    Return the fields of a config that names and shapes settle.

    A temperature of 1 is the same before and after the softcap, so its place is
    not asked for. Values are taken not to be gated and an MLP without a gate to be
    squared, as in all published checkpoints; answers may say otherwise.

    Args:
        shapes: Name to shape of every tensor.

    Returns:
        Fields of :class:`ModelConfig` as JSON.

    Raises:
        UsageError: This is not a checkpoint of the family.

    """
    try:
        return _read_shapes(shapes)
    except (KeyError, IndexError, StopIteration, ZeroDivisionError):
        raise UsageError("these are not the tensors of a known model: give its config") from None


def _read_shapes(shapes: Shapes) -> Config:
    found = (re.fullmatch(r"(\w+)\.0\.attn\.q_gain", name) for name in shapes)
    blocks = next(match[1] for match in found if match)
    first = f"{blocks}.0."
    told: Config = {
        "vocab_size": shapes["tok_emb.weight"][0],
        "model_dim": shapes[first + "attn_scale"][0],
        "num_layers": sum(bool(re.fullmatch(rf"{blocks}\.\d+\.attn_scale", n)) for n in shapes),
        "num_heads": shapes[first + "attn.q_gain"][0],
        **_read_matrices(shapes, blocks),
        "embedding_dim": shapes["tok_emb.weight"][1] if "embed_proj.weight" in shapes else None,
        "smear": _read_smear(shapes),
        "bigram": _read_bigram(shapes),
        "value_residual": first + "attn.vr_lambda" in shapes,
        "skips": _read_skips(shapes),
        "tied_head": "lm_head.weight" not in shapes,
        "gated_values": False,
        "vocab_bias": "vocab_bias" in shapes,
        "temperature": {"stored": "inference_temp" in shapes},
        "token_gates": first + "dtg_gate.weight" in shapes,
    }
    # A mechanism whose tensors are there has settings that shapes do not tell; without
    # them it is off. Loops leave no tensor of their own, but only banked models have them.
    owners = {
        "value_embedding": "ve_shared.embed.weight",
        "head_gate": first + _gate_name(shapes, first),
        "lanes": "parallel_resid_lambdas",
        "loop": "qo_bank",
    }
    return told | {field: None for field, owner in owners.items() if owner not in shapes}


def _read_matrices(shapes: Shapes, blocks: str) -> Config:
    first = f"{blocks}.0."
    dim, heads = shapes[first + "attn_scale"][0], shapes[first + "attn.q_gain"][0]
    up, down = next((n for n in MLP_NAMES if f"{first}mlp.{n[0]}.weight" in shapes), MLP_NAMES[0])
    if "qo_bank" in shapes:
        stored, kv_dim, hidden = "banked", shapes["kv_bank"][1], shapes["mlp_up_bank"][1]
    elif first + "attn.c_qkv.weight" in shapes:
        stored, kv_dim = "fused_qkv", (shapes[first + "attn.c_qkv.weight"][0] - dim) // 2
        hidden = shapes[f"{first}mlp.{up}.weight"][0]
    else:
        stored, kv_dim = "separate", shapes[first + "attn.c_k.weight"][0]
        hidden = shapes[f"{first}mlp.{up}.weight"][0]
    gated = up == "gate_up"
    return {
        "num_kv_heads": kv_dim // (dim // heads),
        "mlp_hidden": hidden // 2 if gated else hidden,
        "mlp_kind": "swiglu" if gated else "squared",
        "names": {"blocks": blocks, "mlp_up": up, "mlp_down": down, "matrices": stored},
    }


def _gate_name(shapes: Shapes, first: str) -> str:
    gain = "attn.attn_gate_proj.weight"
    return gain if first + gain in shapes else "attn.attn_gate_w"


def _read_skips(shapes: Shapes) -> JsonValue:
    if "skip_weights" not in shapes:
        return None
    deep = sum(name.endswith(".attn_scale") for name in shapes) > 1
    return {"gated": "skip_gates" in shapes, "rows": shapes["skip_weights"][0] > 0 or not deep}


def _read_smear(shapes: Shapes) -> JsonValue:
    if "smear.gate" in shapes:
        return {"gate": "channel"}
    if "smear_gate.weight" in shapes:
        return {"gate": "token", "window_dims": shapes["smear_gate.weight"][1]}
    return None


def _read_bigram(shapes: Shapes) -> JsonValue:
    if "bigram.embed.weight" not in shapes:
        return None
    shape = shapes["bigram.embed.weight"]
    return {"rows": shape[0], "dim": shape[1], "projected": "bigram.proj.weight" in shapes}
