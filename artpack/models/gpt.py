"""The model: tokens to hidden states to logits."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from artpack.models.adapters import Adapters
from artpack.models.attention import Shared
from artpack.models.banked_weights import BANKS, NO_BANK, bank_slices, make_banks
from artpack.models.block import Block
from artpack.models.config import ModelConfig
from artpack.models.document_mask import Documents
from artpack.models.embeddings import (
    ChannelSmear,
    ScaledTable,
    bigram_rows,
    previous,
    token_smear,
)
from artpack.models.head import TiedHead, cool
from artpack.models.linear import Embedding, Linear, Weighted, rms_norm
from artpack.models.residual import LaneMix, add_skip, read_lanes
from artpack.models.rope import rope_tables


class GPT(nn.Module):
    """
    A decoder-only transformer made of the mechanisms that its config switches on.

    Names and shapes of the parameters are those of the system that the config
    describes. The residual stream has the dtype of the token table; float32
    throughout is the reference, and autocast works on top. Matrices start at zero:
    :func:`~artpack.models.build.build` gives them weights.

    Args:
        config: The model.

    Attributes:
        longest_tokens: Longest input so far, where the RoPE base grows with it; 0 forgets it.
    """

    inference_temp: Tensor
    skip_gates: nn.Parameter | None

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.longest_tokens = 0
        self._make_input(config)
        self._make_layers(config)
        self._make_output(config)
        for name, module in self.named_modules():
            if isinstance(module, Weighted):
                module.put_on(config.grid_of(name))

    def forward(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """
        Return the logits of every position.

        Args:
            ids: int64 (B, T), below the vocabulary's size.
            documents: Packed documents; None makes each row one document.

        Returns:
            (B, T, vocabulary), float32 or wider.

        """
        return self.logits(self.hidden(ids, documents))

    def embed(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """
        Return the normed embedding that enters the first layer.

        Args:
            ids: int64 (B, T).
            documents: Packed documents.

        Returns:
            (B, T, dim).

        """
        config = self.config
        x: Tensor = self.tok_emb(ids)
        if self.embed_proj is not None:
            x = self.embed_proj(x.to(self.embed_proj.weight.dtype))
        if self.bigram is not None:
            x = x + self.bigram(bigram_rows(ids, self.bigram.embed.shape[0], documents))
        if config.smear is not None and config.smear.gate == "token":
            before = previous(x, self._smeared(documents))
            x = token_smear(x, before, self.smear_gate, self.smear_lambda)
        x = rms_norm(x, config.norm_epsilon)
        if self.smear is not None:
            x = self.smear(x, previous(x, self._smeared(documents)))
        return x

    def values(self, ids: Tensor) -> dict[int, Tensor]:
        """
        Return what the value embedding adds to attention values.

        Args:
            ids: int64 (B, T).

        Returns:
            Layer to (B, T, kv_dim); empty without a value embedding.

        """
        embedding = self.config.value_embedding
        if embedding is None:
            return {}
        used: dict[int, Tensor] = {}
        for layer, scale in zip(embedding.layers, self.ve_layer_scales, strict=True):
            if layer < self.config.num_layers:
                used.setdefault(layer, scale)
        if not used:  # the table may then have no part in a calibration
            return {}
        values = self.ve_shared(ids)
        return {layer: values * scale.to(values.dtype) for layer, scale in used.items()}

    def hidden(
        self, ids: Tensor, documents: Documents | None = None, adapters: Adapters | None = None
    ) -> Tensor:
        """
        Return the normed hidden state that the logits of each position are read from.

        Args:
            ids: int64 (B, T).
            documents: Packed documents.
            adapters: What is added to projections.

        Returns:
            (B, T, dim).

        """
        cos, sin = rope_tables(self.config.rope, ids, documents, self._base_tokens(ids.size(1)))
        x0, values = self.embed(ids, documents), self.values(ids)
        return self.run(Shared(x0, cos, sin, documents, values, adapters=adapters))

    def run(self, shared: Shared) -> Tensor:
        """
        Run the layers.

        Args:
            shared: What the layers of this pass share.

        Returns:
            (B, T, dim), normed.

        """
        encoder, decoder = self.config.visits()
        x, skips = shared.x0, []
        for layer in encoder:
            x = self._block(layer)(x, shared, self._bank(layer))
            skips.append(x)
        x = self._decode(x, decoder, skips, shared)
        return rms_norm(x, self.config.block_norm_epsilon)

    def logits(self, hidden: Tensor, temperature: float | None = None) -> Tensor:
        """
        Return the logits of hidden states; give it only the positions that count.

        Args:
            hidden: (..., dim), from :meth:`hidden`.
            temperature: Divides the logits; None takes the checkpoint's own, or 1.

        Returns:
            (..., vocabulary), float32 or wider.

        """
        return self.cooled(self.raw_logits(hidden), temperature)

    def raw_logits(self, hidden: Tensor, adapters: Adapters | None = None) -> Tensor:
        """
        Return the logits before softcap and temperature.

        Args:
            hidden: (..., dim), from :meth:`hidden`.
            adapters: What is added to the vocabulary projection; then (B, ..., dim).

        Returns:
            (..., vocabulary), float32 or wider.

        """
        if self.head is not None and self.embed_proj_rev is not None:
            hidden = self.embed_proj_rev(hidden)
        raw: Tensor = (
            self.lm_head(hidden) if self.head is None else self.head(hidden, self.tok_emb.weight)
        )
        added = None if adapters is None else adapters.on_head(hidden)
        if added is not None:
            raw = raw + added
        raw = raw.to(torch.promote_types(raw.dtype, torch.float32))
        return raw + self.vocab_bias if self.config.vocab_bias else raw

    def cooled(self, raw: Tensor, temperature: float | None = None) -> Tensor:
        """
        Return raw logits bounded and divided by a temperature.

        Args:
            raw: (..., vocabulary), from :meth:`raw_logits`.
            temperature: None takes the checkpoint's own, or 1.

        Returns:
            The same shape.

        """
        config = self.config
        if temperature is not None:
            return cool(raw, config.softcap, config.temperature, temperature)
        stored = self.inference_temp if config.temperature.stored else 1.0
        return cool(raw, config.softcap, config.temperature, stored)

    def _make_input(self, config: ModelConfig) -> None:
        dim, narrow = config.model_dim, config.embedding_dim
        self.tok_emb = Embedding(config.vocab_size, narrow or dim)
        self.embed_proj = Linear(narrow, dim) if narrow else None
        bigram, smear, value = config.bigram, config.smear, config.value_embedding
        self.bigram = None
        if bigram is not None:
            self.bigram = ScaledTable(bigram.rows, bigram.dim, dim if bigram.projected else None)
        self.smear = ChannelSmear(dim) if smear and smear.gate == "channel" else None
        if smear is not None and smear.gate == "token":
            self.smear_gate = Linear(smear.window_dims, 1)
            self.smear_lambda = nn.Parameter(torch.zeros(1))
        if value is not None:
            wide = config.kv_dim if value.projected else None
            self.ve_shared = ScaledTable(config.vocab_size, value.dim, wide)
            self.ve_layer_scales = nn.ParameterList(torch.ones(1) for _ in value.layers)

    def _make_layers(self, config: ModelConfig) -> None:
        layers, dim = config.num_layers, config.model_dim
        blocks = nn.ModuleList(Block(config, layer) for layer in range(layers))
        self.add_module(config.names.blocks, blocks)
        if config.names.matrices == "banked":
            for name, bank in make_banks(config).items():
                self.register_parameter(name, bank)
        self.skip_gates = None
        if config.skips is not None:
            self.skip_weights = nn.Parameter(torch.ones(config.num_skips, dim))
            if config.skips.gated:
                self.skip_gates = nn.Parameter(torch.zeros(config.num_skips, dim))
        if config.lanes is not None:
            self.lane_mix = LaneMix()
            self.parallel_resid_lambdas = nn.Parameter(torch.ones(layers, 2))
            self.parallel_post_lambdas = nn.Parameter(torch.ones(layers, 2, 2))

    def _make_output(self, config: ModelConfig) -> None:
        narrow = config.embedding_dim
        self.embed_proj_rev = Linear(config.model_dim, narrow) if narrow else None
        self.head = TiedHead() if config.tied_head else None
        if not config.tied_head:
            self.lm_head = Linear(config.model_dim, config.vocab_size)
        if config.vocab_bias:
            self.vocab_bias = nn.Parameter(torch.zeros(config.vocab_size))
        if config.temperature.stored:
            self.register_buffer("inference_temp", torch.tensor(1.0))

    def _decode(
        self, x: Tensor, decoder: tuple[int, ...], skips: list[Tensor], shared: Shared
    ) -> Tensor:
        lanes = None
        for visit, layer in enumerate(decoder):
            if self.config.opens_lanes(layer):
                lane0, lane1 = lanes or (x, x)
                lane0 = self._join_skip(lane0, skips, visit)
                lanes = self._run_lanes((lane0, lane1), layer, shared)
            else:
                x = self._join_skip(x, skips, visit)
                x = self._block(layer)(x, shared, self._bank(layer))
        if self.config.lanes is None or lanes is None:
            return x
        return read_lanes(lanes, self.config.lanes.read)

    def _run_lanes(
        self, lanes: tuple[Tensor, Tensor], layer: int, shared: Shared
    ) -> tuple[Tensor, Tensor]:
        added = self._block(layer).branches(*lanes, shared, self._bank(layer))
        keep, post = self.parallel_resid_lambdas[layer], self.parallel_post_lambdas[layer]
        mixed: tuple[Tensor, Tensor] = self.lane_mix(lanes, added, keep, post)
        return mixed

    def _join_skip(self, x: Tensor, skips: list[Tensor], visit: int) -> Tensor:
        if visit >= self.config.num_skips or not skips:
            return x
        gate = None if self.skip_gates is None else self.skip_gates[visit]
        return add_skip(x, skips.pop(), self.skip_weights[visit], gate)

    def _base_tokens(self, tokens: int) -> int:
        """Return the length that a RoPE base follows, which may be that of an earlier input."""
        ntk = self.config.rope.ntk
        if ntk is None or not ntk.grows:
            return tokens
        self.longest_tokens = max(self.longest_tokens, tokens)
        return self.longest_tokens

    def _smeared(self, documents: Documents | None) -> Documents | None:
        smear = self.config.smear
        return None if smear is not None and smear.crosses_documents else documents

    def _block(self, layer: int) -> Block:
        block: Block = getattr(self, self.config.names.blocks)[layer]
        return block

    def _bank(self, layer: int) -> Mapping[str, Tensor]:
        if self.config.names.matrices != "banked":
            return NO_BANK
        return bank_slices(self.config, {name: getattr(self, name) for name in BANKS}, layer)
