"""The config of a model: one frozen record that JSON can carry."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from artpack.errors import UsageError
from artpack.models.mechanisms import (
    MAX_LAYERS,
    MAX_WIDTH,
    Bigram,
    HeadGate,
    Lanes,
    Loop,
    Names,
    Rope,
    Simulated,
    Skips,
    Smear,
    Softcap,
    Temperature,
    ValueEmbedding,
)
from artpack.models.simulate import Grid
from artpack.stages import Record, check_range, later

FLOAT32_EPSILON = 2.0**-23
"""Epsilon of the root mean square norms; explicit, because torch's default follows the dtype."""


@dataclass(frozen=True)
class ModelConfig(Record):
    """
    A decoder-only transformer of the parameter-golf family.

    Attributes:
        vocab_size: Number of tokens.
        model_dim: Width of the residual stream.
        num_layers: Blocks that have parameters of their own.
        num_heads: Query heads; divides ``model_dim``.
        num_kv_heads: Key and value heads; divides ``num_heads``.
        mlp_hidden: Width of the MLP.
        rope: Positions.
        softcap: Bound of the logits, or None.
        names: Names in the checkpoint.
        tied_head: Logits are read from the token table; else from a matrix ``lm_head``.
        embedding_dim: Width of the token table where it is narrower than the stream
            (then two projections join them), or None.
        bigram: Hashed bigram embedding.
        smear: Mixing with the previous token.
        value_embedding: Token embedding on attention values.
        gated_values: Multiply attention values, value embedding and all, with their sigmoid.
        value_residual: Mix each layer's values with the first layer's.
        head_gate: Gates on attention heads.
        xsa_last_layers: The last so many layers, all if there are fewer, remove from each
            head's output its part along the token's own value (exclusive self-attention).
        norm_before_projections: Norm before the attention's and the MLP's last matrix.
        mlp_slope: Slope of the MLP's leaky ReLU below 0, before any square; 0 is relu.
        mlp_kind: ``squared``: the square of that leaky ReLU; ``plain``: not squared;
            ``swiglu``: the widening matrix has twice the rows, and the second half is
            multiplied with the SiLU of the first.
        layer_scale: Divide the normed input of layer i by ``sqrt(i + 1)``.
        skips: U-Net skips.
        loop: Depth recurrence.
        lanes: Parallel residual lanes.
        vocab_bias: A bias on the logits.
        temperature: Place and source of the temperature.
        norm_epsilon: Epsilon of the embedding's and the heads' norms.
        block_norm_epsilon: Epsilon of the blocks' and the last norm.
        simulated: Weights put on a grid; the first pattern that matches counts.
        token_gates: A gate a token mixes each block's output with its input.

    >>> rope = Rope(base=10000.0, dims=4)
    >>> ModelConfig(256, 16, 5, 4, 2, 64, rope, Softcap("tanh", 30.0)).visits()
    ((0, 1), (2, 3, 4))
    """

    vocab_size: int
    model_dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    mlp_hidden: int
    rope: Rope
    softcap: Softcap | None
    names: Names = field(default_factory=Names)
    tied_head: bool = later(default=True)
    embedding_dim: int | None = None
    bigram: Bigram | None = None
    smear: Smear | None = None
    value_embedding: ValueEmbedding | None = None
    gated_values: bool = later(default=False)
    value_residual: bool = False
    head_gate: HeadGate | None = None
    xsa_last_layers: int = 0
    norm_before_projections: bool = False
    mlp_slope: float = 0.0
    mlp_kind: Literal["squared", "plain", "swiglu"] = later(default="squared")
    layer_scale: bool = False
    skips: Skips | None = field(default_factory=Skips)
    loop: Loop | None = None
    lanes: Lanes | None = None
    vocab_bias: bool = False
    temperature: Temperature = field(default_factory=Temperature)
    norm_epsilon: float = FLOAT32_EPSILON
    block_norm_epsilon: float = FLOAT32_EPSILON
    simulated: tuple[Simulated, ...] = ()
    token_gates: bool = later(default=False)

    def __post_init__(self) -> None:
        for name in ("model_dim", "num_heads", "num_kv_heads", "mlp_hidden", "embedding_dim"):
            check_range(self, name, 1, MAX_WIDTH)
        check_range(self, "vocab_size", 1, 1 << 24)
        check_range(self, "num_layers", 1, MAX_LAYERS)
        check_range(self, "xsa_last_layers", 0, MAX_LAYERS)
        check_range(self, "mlp_slope", 0, 1)
        check_range(self, "norm_epsilon", 0, 1)
        check_range(self, "block_norm_epsilon", 0, 1)
        self._check_heads()
        self._check_layers()
        self._check_tables()

    def _check_heads(self) -> None:
        if self.model_dim % self.num_heads:
            raise UsageError(f"num_heads {self.num_heads} does not divide {self.model_dim}")
        if self.num_heads % self.num_kv_heads:
            raise UsageError(f"num_kv_heads {self.num_kv_heads} does not divide {self.num_heads}")
        if self.rope.dims > self.head_dim:
            raise UsageError(f"rope.dims {self.rope.dims} exceeds the head width {self.head_dim}")
        for gate in (self.smear, self.head_gate):
            if gate is not None and gate.window_dims > self.model_dim:
                raise UsageError(f"window_dims {gate.window_dims} exceeds {self.model_dim}")

    def _check_tables(self) -> None:
        targets = ((self.bigram, self.model_dim), (self.value_embedding, self.kv_dim))
        for table, width in targets:
            if table is not None and not table.projected and table.dim != width:
                raise UsageError(f"a table of dim {table.dim} must be projected to {width}")

    def _check_layers(self) -> None:
        loop, lanes = self.loop, self.lanes
        if lanes and self.token_gates:
            raise UsageError("token_gates need a model without lanes")
        last_used = {
            "loop.last": loop.last if loop else 0,
            "lanes.first_layer": lanes.first_layer - 1 if lanes else 0,
        }
        for name, layer in last_used.items():
            if layer >= self.num_layers:
                raise UsageError(f"{name} goes beyond the last of {self.num_layers} layers")

    @property
    def head_dim(self) -> int:
        """Channels of an attention head."""
        return self.model_dim // self.num_heads

    @property
    def kv_dim(self) -> int:
        """Channels of all keys, and of all values, of a token."""
        return self.num_kv_heads * self.head_dim

    @property
    def num_skips(self) -> int:
        """Rows of ``skip_weights``; those of an inactive loop count too."""
        return (
            0 if self.skips is None or not self.skips.rows else len(self._order(looped=True)) // 2
        )

    def visits(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """
        Return the layers in the order they run, halved for the U-Net.

        Returns:
            Layers of the first half, which is the shorter one, and of the second.

        """
        order = self._order(looped=self.loop is not None and self.loop.active)
        return order[: len(order) // 2], order[len(order) // 2 :]

    def _order(self, *, looped: bool) -> tuple[int, ...]:
        if self.loop is None or not looped:
            return tuple(range(self.num_layers))
        first, after = self.loop.first, self.loop.last + 1
        repeated = tuple(range(first, after)) * self.loop.passes
        return (*range(first), *repeated, *range(after, self.num_layers))

    def opens_lanes(self, layer: int) -> bool:
        """Return whether a layer of the second half runs on two lanes."""
        return self.lanes is not None and layer >= self.lanes.first_layer

    def grid_of(self, name: str) -> Grid | None:
        """
        Return the grid that a matrix is put on.

        Args:
            name: Unbanked name without ``.weight``.

        Returns:
            The grid of the first pattern that matches, or None.

        """
        rules = (rule.grid for rule in self.simulated if fnmatchcase(name, rule.names))
        return next(rules, None)
