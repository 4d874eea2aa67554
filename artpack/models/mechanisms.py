"""
The mechanisms that a model may be made of, each a record of its settings.

None in the :class:`~artpack.models.config.ModelConfig` leaves one out. Defaults
are what a mechanism is meant to do. Where a published system does something
else, the field that repeats it says *as published*.
"""

from dataclasses import dataclass, field
from typing import Literal

from artpack.errors import UsageError
from artpack.models.simulate import GRIDS, Grid
from artpack.stages import Record, check_range, later

MAX_WIDTH = 1 << 20
MAX_LAYERS = 4096


@dataclass(frozen=True)
class Names(Record):
    """
    How the checkpoint names and stacks its matrices.

    Attributes:
        blocks: The list of blocks.
        mlp_up: The MLP's widening matrix.
        mlp_down: The MLP's narrowing matrix.
        matrices: ``separate``: one tensor each; ``fused_qkv``: query, key and value rows
            in one ``c_qkv``; ``banked``: all layers in ``qo_bank``, ``kv_bank``,
            ``mlp_up_bank`` and ``mlp_down_bank``.
    """

    blocks: Literal["blocks", "upper_blocks"] = "blocks"
    mlp_up: Literal["fc", "up", "gate_up"] = "fc"
    mlp_down: Literal["proj", "down"] = "proj"
    matrices: Literal["separate", "fused_qkv", "banked"] = "separate"


@dataclass(frozen=True)
class Ntk(Record):
    """
    RoPE base that grows with the window: ``base * (window / reference)**(dims / (dims - 2))``.

    Attributes:
        reference_tokens: Up to this window the base stays as it is.
        window_tokens: The window that the base is fixed at: the one that the model was
            trained with. None takes the length of the input at hand, as published by
            PR 576 and PR 826; then a shorter window is another model.
        grows: As published by PR 1934: the longest input that the model has seen so far
            fixes the base, so that a score depends on what was scored before.
    """

    reference_tokens: int
    window_tokens: int | None = None
    grows: bool = later(default=False)

    def __post_init__(self) -> None:
        check_range(self, "reference_tokens", 1, MAX_WIDTH)
        check_range(self, "window_tokens", 1, MAX_WIDTH)
        if self.grows and self.window_tokens is not None:
            raise UsageError("a base that grows has no window_tokens")


@dataclass(frozen=True)
class Yarn(Record):
    """
    RoPE frequencies slowed towards a longer reach, the slowest ones the most.

    Attributes:
        trained_tokens: The training window.
        reach_tokens: The window that the slowest frequencies are stretched to.
    """

    trained_tokens: int
    reach_tokens: int

    def __post_init__(self) -> None:
        check_range(self, "trained_tokens", 1, MAX_WIDTH)
        check_range(self, "reach_tokens", 1, MAX_WIDTH)


@dataclass(frozen=True)
class Rope(Record):
    """
    Rotary position embedding of the first channels of each head, half-split pairing.

    Attributes:
        base: Base of the frequencies.
        dims: Channels rotated, even.
        ntk: Base that follows the window.
        yarn: Frequencies bent for a longer reach.
        arithmetic: ``fp32``; ``bf16_frequencies``: frequencies rounded to bfloat16, as
            published by PR 1934 and PR 2086, whose weights were trained so; ``bf16``:
            positions, angles and tables rounded too, as an uncompiled PR 2086 does.
        crosses_documents: As published by PR 1934: positions run on through packed
            documents; otherwise each document starts at 0.
    """

    base: float
    dims: int
    ntk: Ntk | None = None
    yarn: Yarn | None = None
    arithmetic: Literal["fp32", "bf16_frequencies", "bf16"] = "fp32"
    crosses_documents: bool = False

    def __post_init__(self) -> None:
        check_range(self, "base", 1, 1e12)
        check_range(self, "dims", 2, MAX_WIDTH)
        if self.dims % 2:
            raise UsageError(f"dims must be even, got {self.dims}")
        if self.ntk and self.yarn:
            raise UsageError("ntk needs a RoPE with no yarn")


@dataclass(frozen=True)
class Bigram(Record):
    """
    Embedding of a hash of the current and the previous token.

    Attributes:
        rows: Rows of the table; the last one is for a document's first token.
        dim: Width of the table.
        projected: The table is widened by a matrix; without one it is as wide as the stream.
    """

    rows: int
    dim: int
    projected: bool = later(default=True)

    def __post_init__(self) -> None:
        check_range(self, "rows", 2, 1 << 24)
        check_range(self, "dim", 1, MAX_WIDTH)


@dataclass(frozen=True)
class Smear(Record):
    """
    Mixing of the previous token's embedding into the current one.

    Attributes:
        gate: ``channel``: a learned share of each channel; ``token``: a gate a token, read
            from its first channels, on top of the embedding.
        window_dims: Channels that the token gate reads; 0 for ``channel``.
        crosses_documents: As published by PR 1934: the first token of a packed document
            receives the last token of the one before.
    """

    gate: Literal["channel", "token"]
    window_dims: int = 0
    crosses_documents: bool = False

    def __post_init__(self) -> None:
        check_range(self, "window_dims", 0, MAX_WIDTH)
        if (self.gate == "token") != (self.window_dims > 0):
            raise UsageError(f"a {self.gate} gate cannot have window_dims {self.window_dims}")


@dataclass(frozen=True)
class ValueEmbedding(Record):
    """
    A token embedding added to the attention values of some layers.

    Attributes:
        dim: Width of the table, before its projection.
        layers: The layers; each entry has a scale of its own. Of two entries for one layer
            the first counts, and one beyond the last layer is never used.
        projected: The table is widened by a matrix; without one it is as wide as all values.
    """

    dim: int
    layers: tuple[int, ...]
    projected: bool = later(default=True)

    def __post_init__(self) -> None:
        check_range(self, "dim", 1, MAX_WIDTH)
        if not self.layers or min(self.layers) < 0:
            raise UsageError(f"layers must be one or more, from 0 on, got {self.layers}")


@dataclass(frozen=True)
class HeadGate(Record):
    """
    A gate an attention head, read from the first channels of the attention input.

    Attributes:
        window_dims: Channels that the gate reads; all of them for a dense gate.
        scale: Factor on the gate's argument.
        kind: ``share``: a sigmoid, of the matrix ``attn_gate_w``; ``gain``: twice a sigmoid,
            of the matrix ``attn_gate_proj``.
        reads: ``input``: what the attention reads; ``query``: the raw query projection.
    """

    window_dims: int
    scale: float = 1.0
    kind: Literal["share", "gain"] = later(default="share")
    reads: Literal["input", "query"] = later(default="input")

    def __post_init__(self) -> None:
        check_range(self, "window_dims", 1, MAX_WIDTH)


@dataclass(frozen=True)
class Skips(Record):
    """
    U-Net skips: the first half of the visits feeds the second, last in first out.

    Attributes:
        gated: Mix with a learned gate instead of adding.
        rows: False leaves ``skip_weights`` in the checkpoint, but without a row: no skips,
            as PR 826 stores them.
    """

    gated: bool = False
    rows: bool = later(default=True)


@dataclass(frozen=True)
class Loop(Record):
    """
    Depth recurrence: some consecutive layers are visited several times.

    Attributes:
        first: First layer of the loop.
        last: Last layer of the loop.
        passes: Visits of each of them, 2 or more.
        active: False skips the repeats but keeps the parameters that they need, as the
            first part of PR 1934's training did.
    """

    first: int
    last: int
    passes: int
    active: bool = True

    def __post_init__(self) -> None:
        check_range(self, "first", 0, MAX_LAYERS)
        check_range(self, "last", self.first, MAX_LAYERS)
        check_range(self, "passes", 2, 64)


@dataclass(frozen=True)
class Lanes(Record):
    """
    Two parallel residual lanes in the last layers, one read by attention, one by the MLP.

    Where a loop goes back to an earlier layer, that layer runs on the stream as it was before
    there were lanes, and what it makes never reaches the output, as in PR 1934.

    Attributes:
        first_layer: From its first visit in the second half, 1 or more; the number of layers
            keeps the parameters and uses none.
        read: What leaves the last layer.
    """

    first_layer: int
    read: Literal["mean", "attention", "mlp"] = "mean"

    def __post_init__(self) -> None:
        check_range(self, "first_layer", 1, MAX_LAYERS)


@dataclass(frozen=True)
class Softcap(Record):
    """
    The bound on logits.

    Attributes:
        kind: ``tanh``: ``limit * tanh(raw / limit)``; ``poly5``: a fifth-degree polynomial
            that reaches the limit at 1.69 limits and stays there.
        limit: Largest magnitude of a logit, above 0.
    """

    kind: Literal["tanh", "poly5"]
    limit: float

    def __post_init__(self) -> None:
        if not 0 < self.limit < 1e6:
            raise UsageError(f"limit must be above 0, got {self.limit}")


@dataclass(frozen=True)
class Temperature(Record):
    """
    How logits are divided by a temperature.

    Attributes:
        before_softcap: Divide the raw logits, as PR 826 does, not the bounded ones.
        stored: The checkpoint holds the temperature as ``inference_temp``, as PR 576 does.
    """

    before_softcap: bool = False
    stored: bool = False


@dataclass(frozen=True)
class Simulated(Record):
    """
    Weights that every forward pass puts on a grid.

    Attributes:
        names: Shell pattern that the matrix's name matches, without ``.weight`` and
            under its unbanked name: ``*.mlp.up``. The tied head reads the raw table.
        grid: The grid.
    """

    names: str
    grid: Grid = field(metadata={"table": GRIDS})
