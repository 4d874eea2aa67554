"""
The published models, as their authors meant them.

Where a published system has a defect, the preset has it right and ``faithful``
brings it back: RoPE and the smear gate of PR 1934 run on through packed
documents, the RoPE base of PR 576 and PR 826 follows the length of the input.
Frequencies rounded to bfloat16 stay: the weights were trained with them.
"""

from dataclasses import dataclass, replace

from artpack.errors import UsageError
from artpack.models.config import ModelConfig
from artpack.models.mechanisms import (
    Bigram,
    HeadGate,
    Lanes,
    Loop,
    Names,
    Ntk,
    Rope,
    Simulated,
    Skips,
    Smear,
    Softcap,
    Temperature,
    ValueEmbedding,
    Yarn,
)
from artpack.models.simulate import FakeRowPentanary, Float8, GroupQuinary
from artpack.stages import nearest


@dataclass(frozen=True)
class Preset:
    """
    A published model.

    Attributes:
        config: The model as meant.
        parameters: Published number of parameters that the model uses.
        remark: Where it comes from, in one line.
        as_published: The model with its published defects, where it has any.
    """

    config: ModelConfig
    parameters: int
    remark: str
    as_published: ModelConfig | None = None


_PR2086 = ModelConfig(
    vocab_size=16384,
    model_dim=576,
    num_layers=10,
    num_heads=6,
    num_kv_heads=3,
    mlp_hidden=2304,
    rope=Rope(5000.0, 96, yarn=Yarn(1024, 2048), arithmetic="bf16_frequencies"),
    softcap=Softcap("poly5", 10.0),
    names=Names(matrices="fused_qkv"),
    embedding_dim=380,
    norm_before_projections=True,
    vocab_bias=True,
    simulated=(
        Simulated("tok_emb", Float8()),
        Simulated("embed_proj*", Float8()),
        Simulated("blocks.*", GroupQuinary(192)),
    ),
)

_PR1934 = ModelConfig(
    vocab_size=8192,
    model_dim=512,
    num_layers=11,
    num_heads=8,
    num_kv_heads=4,
    mlp_hidden=2048,
    rope=Rope(10000.0, 16, arithmetic="bf16_frequencies"),
    softcap=Softcap("tanh", 30.0),
    names=Names(matrices="banked"),
    smear=Smear("token", 12),
    head_gate=HeadGate(12),
    xsa_last_layers=11,
    mlp_slope=0.5,
    layer_scale=True,
    skips=Skips(gated=True),
    loop=Loop(3, 5, 3),
    lanes=Lanes(8),
)

_PR1123 = ModelConfig(
    vocab_size=1024,
    model_dim=512,
    num_layers=11,
    num_heads=8,
    num_kv_heads=4,
    mlp_hidden=2048,
    rope=Rope(10000.0, 16),
    softcap=Softcap("tanh", 15.0),
    names=Names(mlp_up="up", mlp_down="down"),
    bigram=Bigram(2048, 128),
    smear=Smear("channel"),
    value_embedding=ValueEmbedding(128, (9, 10)),
    value_residual=True,
    xsa_last_layers=11,
    mlp_slope=0.5,
    layer_scale=True,
    block_norm_epsilon=1e-6,
    simulated=(Simulated("*.mlp.up", FakeRowPentanary()),),
)

_PR826 = ModelConfig(
    vocab_size=1024,
    model_dim=512,
    num_layers=11,
    num_heads=8,
    num_kv_heads=4,
    mlp_hidden=1536,
    rope=Rope(10000.0, 16, ntk=Ntk(1024, 2048)),
    softcap=Softcap("tanh", 30.0),
    names=Names(blocks="upper_blocks"),
    bigram=Bigram(4096, 128),
    smear=Smear("channel"),
    value_embedding=ValueEmbedding(128, (9, 10)),
    xsa_last_layers=4,
    mlp_slope=0.9,
    layer_scale=True,
    temperature=Temperature(before_softcap=True),
)

_PR576 = ModelConfig(
    vocab_size=1024,
    model_dim=512,
    num_layers=11,
    num_heads=8,
    num_kv_heads=8,
    mlp_hidden=1792,
    rope=Rope(10000.0, 16, ntk=Ntk(1024, 2048)),
    softcap=Softcap("tanh", 30.0),
    bigram=Bigram(8192, 128),
    smear=Smear("channel"),
    value_embedding=ValueEmbedding(128, (9, 10)),
    xsa_last_layers=11,
    layer_scale=True,
    temperature=Temperature(stored=True),
)

_LM6M = ModelConfig(
    vocab_size=1024,
    model_dim=256,
    num_layers=8,
    num_heads=4,
    num_kv_heads=2,
    mlp_hidden=1024,
    rope=Rope(10000.0, 64),
    softcap=Softcap("tanh", 30.0),
)

PRESETS = {
    "pr2086": Preset(
        _PR2086,
        parameters=43_391_484,
        remark="PR 2086, quinary weights; 52,828,668 logged, with an unused lm_head",
    ),
    "pr1934": Preset(
        _PR1934,
        parameters=35_945_671,
        remark="PR 1934, layers 3 to 5 run three times, two lanes from layer 8",
        as_published=replace(
            _PR1934,
            rope=replace(_PR1934.rope, crosses_documents=True),
            smear=Smear("token", 12, crosses_documents=True),
        ),
    ),
    "pr1123": Preset(
        _PR1123,
        parameters=32_760_946,
        remark="PR 1123, five-level MLP-up weights, value residual",
    ),
    "pr826": Preset(
        _PR826,
        parameters=27_255_900,
        remark="PR 826, leaky ReLU of slope 0.9 squared",
        as_published=replace(_PR826, rope=Rope(10000.0, 16, ntk=Ntk(1024))),
    ),
    "pr576": Preset(
        _PR576,
        parameters=33_580_124,
        remark="PR 576, as many key/value heads as query heads",
        as_published=replace(_PR576, rope=Rope(10000.0, 16, ntk=Ntk(1024))),
    ),
    "lm6m": Preset(
        _LM6M,
        parameters=6_038_560,
        remark="a small trained model for tests and examples",
    ),
}
"""Name to published model."""


def preset(name: str, *, faithful: bool = False) -> ModelConfig:
    """
    Return a published model.

    Args:
        name: A key of :data:`PRESETS`.
        faithful: Keep the published defects.

    Returns:
        Its config.

    Raises:
        UsageError: There is no such preset.

    >>> preset("pr1934").loop
    Loop(first=3, last=5, passes=3, active=True)
    >>> preset("pr1934", faithful=True).smear
    Smear(gate='token', window_dims=12, crosses_documents=True)

    """
    if name not in PRESETS:
        raise UsageError(f"no preset {name!r}{nearest(name, PRESETS)}")
    found = PRESETS[name]
    return found.as_published if faithful and found.as_published else found.config
