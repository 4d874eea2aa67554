"""
Recipes of test-time training: one frozen record for each strategy.

docs/RECIPES.md explains every key. Defaults are what was meant; a field that repeats a
published mistake says *as published*.
"""

import math
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

from artpack.errors import UsageError
from artpack.models import ModelConfig
from artpack.models.adapters import Site
from artpack.stages import Record, check_range

MANY = 1 << 40

Placement: TypeAlias = Literal["sliding", "pr2086", "pr576", "pr1123", "pr826"]


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings(Record):
    """
    How parameters are changed.

    Attributes:
        kind: ``sgd`` with momentum, or ``adamw``.
        lr: Learning rate.
        momentum: Of SGD.
        beta1: Of AdamW.
        beta2: Of AdamW.
        epsilon: Of AdamW.
        weight_decay: Of AdamW each step multiplies by ``1 - lr * weight_decay``; of SGD it is
            the share of a parameter that is added to its gradient.
        clip_norm: Largest norm of the gradient; None leaves it as it is.
        schedule: Of the learning rate over the chunks: ``cosine`` to ``lr_end``.
        lr_end: Share of ``lr`` that a cosine ends at.
        warmup_chunks: The rate rises over the first so many chunks, and follows its schedule
            over the others; nothing is learned from the last, so it never rises there.
        warmup_lr: Rate that it rises from.
    """

    kind: Literal["sgd", "adamw"]
    lr: float
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = None
    schedule: Literal["cosine", "constant"] = "cosine"
    lr_end: float = 0.0
    warmup_chunks: int = 0
    warmup_lr: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, "lr", 0, 1e6)
        check_range(self, "warmup_lr", 0, 1e6)
        check_range(self, "warmup_chunks", 0, MANY)
        check_range(self, "clip_norm", 0, 1e12)
        for name in ("momentum", "beta1", "beta2"):
            check_range(self, name, 0, 1)

    def rate(self, chunk: int, chunks: int) -> float:
        """
        Return the learning rate after a chunk.

        Args:
            chunk: Its number, from 0.
            chunks: How many there are; nothing follows the last, so nothing is learned there.

        Returns:
            The rate.

        >>> OptimizerSettings(kind="sgd", lr=0.4).rate(1, 3)
        0.2

        """
        warm = min(self.warmup_chunks, chunks - 1)
        if chunk < warm:
            return self.warmup_lr + (self.lr - self.warmup_lr) * chunk / max(warm - 1, 1)
        if self.schedule == "constant" or chunks < 2:
            return self.lr
        fall = (1 + math.cos(math.pi * (chunk - warm) / max(chunks - 1 - warm, 1))) / 2
        return self.lr * (self.lr_end + (1 - self.lr_end) * fall)


@dataclass(frozen=True, kw_only=True)
class Recipe(Record):
    """
    What every strategy is told.

    Attributes:
        rule: How what adapts is changed.
        window_tokens: Tokens a window; None takes those of the evaluation.
        chunk_tokens: Targets that are scored before anything learns from them.
        epochs: How often each chunk is learned from.
        temperature: Divides the logits that are scored; None takes the checkpoint's own.
        fit_temperature: Choose the temperature by what scored best on the targets so far.
        learn_at_temperature: The loss that is learned from has it too.
        two_pass_temperature: That of the second pass of ``two_pass``.
    """

    rule: OptimizerSettings
    window_tokens: int | None = None
    chunk_tokens: int
    epochs: int = 1
    temperature: float | None = None
    fit_temperature: bool = False
    learn_at_temperature: bool = False
    two_pass_temperature: float | None = None

    def __post_init__(self) -> None:
        check_range(self, "window_tokens", 1, MANY)
        check_range(self, "chunk_tokens", 1, MANY)
        check_range(self, "epochs", 0, MANY)
        for name in ("temperature", "two_pass_temperature"):
            check_range(self, name, 1e-3, 1e3)

    @property
    def learning_temperature(self) -> float | None:
        """Temperature of the loss that is learned from; None takes that of scoring."""
        return None if self.learn_at_temperature else 1.0


@dataclass(frozen=True, kw_only=True)
class OverStream(Recipe):
    """
    One set of weights follows the stream; a chunk is scored in sliding windows.

    Attributes:
        stride_tokens: Scored positions a window; None takes those of the evaluation.
        placement: Of the windows, by name. As published, chunks may be shorter than windows;
            then nothing is learned.
        two_pass_placement: That of the second pass of ``two_pass``; None takes the same.
        batch_windows: Windows that a step learns from; None takes the whole chunk's.
        z_loss: Weight of the squared log-partition in the loss that is learned from.
        off_grid: As published by PR 1123: weights learn off the grid that they are
            scored on.
    """

    stride_tokens: int | None = None
    placement: Placement = "sliding"
    two_pass_placement: Placement | None = None
    batch_windows: int | None = None
    z_loss: float = 0.0
    off_grid: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "stride_tokens", 1, MANY)
        check_range(self, "batch_windows", 1, MANY)

    def adapts(self, config: ModelConfig, name: str) -> bool:
        """Return whether a parameter adapts."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Scalars(OverStream):
    """
    Named tensors adapt, as a rule the small ones that quantization leaves alone.

    Attributes:
        tensors: Shell patterns of their names.
    """

    tensors: tuple[str, ...]

    def adapts(self, config: ModelConfig, name: str) -> bool:  # noqa: ARG002 - see OverStream
        """Return whether a parameter's name matches."""
        return any(fnmatchcase(name, pattern) for pattern in self.tensors)


@dataclass(frozen=True, kw_only=True)
class Blocks(OverStream):
    """
    Whole blocks adapt.

    Attributes:
        last: The last so many blocks adapt, and nothing else; None for ``frozen``.
        frozen: Everything adapts but the first so many blocks.
        tensors: With ``last``: shell patterns of names that adapt too.
    """

    last: int | None = None
    frozen: int = 0
    tensors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "last", 0, MANY)
        check_range(self, "frozen", 0, MANY)

    def adapts(self, config: ModelConfig, name: str) -> bool:
        """Return whether a parameter is in one of the blocks, or its name matches."""
        if config.names.matrices == "banked":
            raise UsageError("blocks: this model banks the matrices of all blocks; take phased")
        parts = name.split(".")
        block = int(parts[1]) if parts[0] == config.names.blocks else None
        if self.last is None:
            return block is None or block >= self.frozen
        inside = block is not None and block >= config.num_layers - self.last
        return inside or any(fnmatchcase(name, pattern) for pattern in self.tensors)


@dataclass(frozen=True, kw_only=True)
class Lora(Recipe):
    """
    Every document adapts low-rank matrices of its own, which start anew with it.

    Attributes:
        rank: Of the matrices.
        alpha: Their product counts ``alpha / rank``, or once where this is None.
        sites: Where they are added.
        reads: ``normed``: they read what the projection reads; ``stream``: what enters
            the layer, as PR 826 does. The head's reads the last hidden state.
        head_lr: Factor on the head's learning rate.
        q_lr: Factor on that of the queries' matrices.
        v_lr: Factor on that of the values' matrices.
        head_lr_only: As published by PR 826: ``q_lr`` and ``v_lr`` reach no matrix.
        documents: Documents that run at once.
        order: Of the documents: ``stream``; ``short-first``, in batches of as many chunks;
            ``long-last``, in batches of similar length; ``long-first``: these backwards.
        polyak: Scoring uses the running average of the matrices, where each step's share
            fades by this factor a step; 0 scores with the matrices themselves.
        restart_polyak: As published by PR 826: the average starts at the untrained
            matrices, and moves once a chunk.
        short_rows: As published by PR 826 and PR 1934: a document's first chunks run in rows no
            longer than they need, even where the model's RoPE base follows that length.
        joint: As published by PR 826: documents that run at once share the clipping of
            their gradients and the schedule of the longest.
        keep_inputs: Documents that run at once after others start with the others'
            trained input matrices.
        drops_headless: As published by PR 826 and PR 1934: tokens before the first BOS belong
            to no document and are left out.
        document_share: So many of the documents are scored, drawn at random; at least one.
        document_seed: Of that draw.
    """

    rank: int
    alpha: float | None = None
    sites: tuple[Site, ...]
    reads: Literal["normed", "stream"] = "normed"
    head_lr: float = 1.0
    q_lr: float = 1.0
    v_lr: float = 1.0
    head_lr_only: bool = False
    documents: int
    order: Literal["stream", "short-first", "long-last", "long-first"] = "stream"
    polyak: float = 0.0
    restart_polyak: bool = False
    short_rows: bool = False
    joint: bool = False
    keep_inputs: bool = False
    drops_headless: bool = False
    document_share: float = 1.0
    document_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "rank", 1, 1 << 20)
        check_range(self, "document_share", 0, 1)
        check_range(self, "documents", 1, MANY)
        check_range(self, "polyak", 0, 1)
        for name in ("head_lr", "q_lr", "v_lr"):
            check_range(self, name, 0, 1e6)
        if not self.sites:
            raise UsageError("sites is empty: name some of q, k, v, o, mlp, head")

    @property
    def rate_factors(self) -> dict[Site, float]:
        """Factors on the learning rates of some sites; 1 for all others."""
        factors: dict[Site, float] = {"head": self.head_lr}
        if not self.head_lr_only:
            factors |= {"q": self.q_lr, "v": self.v_lr}
        return factors


@dataclass(frozen=True, kw_only=True)
class Phased(Lora):
    """
    As :class:`Lora`; and the model itself learns from a prefix of documents, in phases.

    Attributes:
        prefix_documents: How many documents the model learns from.
        phases: After so many equal parts of them it learns from all so far.
        shared: How the model is changed.
        shared_chunk_tokens: Tokens that a learning rate of its schedule is for.
        shared_epochs: How often each of these chunks is learned from.
        shared_window_tokens: Tokens a window of what the model learns from; None takes
            ``window_tokens``.
        batch_windows: Windows that one step learns from.
        row_windows: Windows that are packed in a row, documents kept apart.
        across_documents: Each window is a row of its own, whatever documents it crosses.
        doubled_bos: As published by PR 1934: a document ends with the next one's BOS even
            where the next to be learned from is another.
        idle_phase: As published by PR 1934: a phase may follow the last documents, when
            nothing is left to be scored.
    """

    prefix_documents: int
    phases: int
    shared: OptimizerSettings
    shared_chunk_tokens: int
    shared_epochs: int = 1
    shared_window_tokens: int | None = None
    batch_windows: int
    row_windows: int = 1
    across_documents: bool = False
    doubled_bos: bool = False
    idle_phase: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "prefix_documents", 0, MANY)
        check_range(self, "phases", 1, MANY)
        check_range(self, "shared_chunk_tokens", 1, MANY)
        check_range(self, "shared_epochs", 0, MANY)
        check_range(self, "shared_window_tokens", 1, MANY)
        check_range(self, "batch_windows", 1, MANY)
        check_range(self, "row_windows", 1, MANY)


STRATEGIES: dict[str, type[Scalars | Blocks | Lora | Phased]] = {
    "scalars": Scalars,
    "blocks": Blocks,
    "lora": Lora,
    "phased": Phased,
}
AnyRecipe: TypeAlias = Scalars | Blocks | Lora | Phased


def placed(recipe: AnyRecipe, window_tokens: int, stride_tokens: int) -> AnyRecipe:
    """
    Give a recipe windows where it leaves them open.

    Args:
        recipe: The recipe.
        window_tokens: Tokens a window.
        stride_tokens: Scored positions a window.

    Returns:
        The recipe, ready to run.

    """
    recipe = replace(recipe, window_tokens=recipe.window_tokens or window_tokens)
    if isinstance(recipe, OverStream):
        return replace(recipe, stride_tokens=recipe.stride_tokens or stride_tokens)
    return recipe
