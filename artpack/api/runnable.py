"""Kinds of models that can be run: this project's own, those of transformers, any module."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from artpack.api.sources import build_model
from artpack.api.tokens import LIMIT_TOKENS, TokenSource, choose_window, read_ids, read_windows
from artpack.calibration.file import hash_config
from artpack.calibration.windows import cut_windows
from artpack.checkpoint import Checkpoint, restore
from artpack.errors import UsageError
from artpack.evaluation.tokens.hugging_face import start_of, tokenize_documents
from artpack.evaluation.tokens.stream import Stream, is_text, read_stream, read_text
from artpack.evaluation.tokens.stream import read_tokenizer as read_sentencepiece
from artpack.models import ModelConfig, build
from artpack.models.defects import as_meant
from artpack.runners.batches import Batches, ModuleBatches, TokenBatches
from artpack.runners.gpt import GptRunner
from artpack.runners.hugging_face import TransformersRunner, fitting
from artpack.runners.hugging_face_files import (
    build_transformers,
    positions_of,
    read_tokenizer,
    vocabulary_of,
)
from artpack.runners.module import Forward, ModuleRunner
from artpack.runners.protocol import LanguageModel, Runner
from artpack.runners.settings import Settings
from artpack.stages.finite import check_weights

WINDOW_TOKENS = 512
"""Tokens a window of a model of transformers: what comes back through it stays in memory."""

LEAST_TOKENS = 16_384
RUN_WEIGHTS = 1 << 41
"""Tokens times weights that a calibration runs at most, unless told otherwise."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """
    What a model is run over.

    Attributes:
        tokens: Files, or an array of ids (tokens,).
        tokenizer: SentencePiece model of the tokens, where the model has none of its own.
        batches: Instead of tokens, batches as the model takes them.
        limit_tokens: Run no more tokens than this; None for as many as the model's size allows.
        window_tokens: Tokens a window; None for what the model was trained with.
    """

    tokens: TokenSource | None = None
    tokenizer: Any = None
    batches: str | os.PathLike[str] | Iterable[Any] | None = None
    limit_tokens: int | None = None
    window_tokens: int | None = None

    @property
    def given(self) -> bool:
        """Whether there is anything to run."""
        return self.tokens is not None or self.batches is not None


class Runnable(Protocol):
    """A model that can be run once it has its weights."""

    @property
    def fingerprint(self) -> str | None:
        """Hash of what it is, None if that is known only once it is built."""

    def batches(self, data: DataOptions, settings: Settings) -> tuple[Batches, tuple[str, ...]]:
        """Return what it runs over, and notes."""

    def build(self, checkpoint: Checkpoint, device: str) -> Runner:
        """Build it, on a device and in evaluation mode."""


class Language(Runnable, Protocol):
    """A language model: it is scored on tokens, and can write."""

    def language_model(self, tensors: Mapping[str, Tensor], device: str) -> LanguageModel:
        """Build it of tensors, to be scored on a device."""

    def stream(self, tokens: str, tokenizer: Any) -> Stream:
        """Read what it is scored on, with the bytes that tokens stand for."""

    def batch_tokens(self, settings: Settings) -> int:
        """Return how many tokens a pass of a score may have."""

    def window(self, asked: int | None) -> tuple[int, tuple[str, ...]]:
        """Return how many tokens a window has, and notes."""

    def bos_id(self, tokenizer: Any) -> int:
        """Return what a window that it writes itself starts with."""


@dataclass(frozen=True)
class GptModel:
    """A model of this project's own."""

    config: ModelConfig
    path: Path | None

    @property
    def fingerprint(self) -> str:
        """Hash of its config."""
        return hash_config(as_meant(self.config).to_json())

    def language_model(self, tensors: Mapping[str, Tensor], device: str) -> LanguageModel:
        """Build it as its authors meant it."""
        return build(as_meant(self.config), tensors).to(device)

    def stream(self, tokens: str, tokenizer: Any) -> Stream:
        """Read tokens, or text through a SentencePiece model."""
        if tokenizer is None:
            raise UsageError(
                "the scored bytes are counted with the tokenizer: give `scoring.tokenizer`"
            )
        return read_stream(tokens, read_sentencepiece(tokenizer))

    def batch_tokens(self, settings: Settings) -> int:
        """Return what was asked for."""
        return settings.batch_tokens

    def window(self, asked: int | None) -> tuple[int, tuple[str, ...]]:
        """Return the length that it was trained with."""
        return choose_window(asked, self.config, self.path)

    def bos_id(self, tokenizer: Any) -> int:
        """Return what the tokenizer says, or 1."""
        return 1 if tokenizer is None else read_sentencepiece(tokenizer).bos_id()

    def batches(self, data: DataOptions, settings: Settings) -> tuple[Batches, tuple[str, ...]]:
        """Cut tokens into windows of the length that it was trained with."""
        if data.tokens is None:
            raise UsageError("a model of artpack's own runs over `tokens`, not `batches`")
        size, notes = self.window(data.window_tokens)
        windows = read_windows(
            data.tokens,
            self.config,
            size,
            tokenizer=data.tokenizer,
            limit_tokens=data.limit_tokens or LIMIT_TOKENS,
        )
        return TokenBatches(windows, settings.batch_tokens), notes

    def build(self, checkpoint: Checkpoint, device: str) -> Runner:
        """Build it as its authors meant it."""
        return GptRunner(build_model(checkpoint, self.config, device))


@dataclass(frozen=True)
class TransformersModel:
    """
    A model of transformers.

    Attributes:
        files: Its config and tokenizer.
        weights: How many weights it has.
        forward: Runs it on a batch and returns what counts as its outputs; None for what it
            gives first.
    """

    files: Mapping[str, bytes]
    weights: int
    forward: Forward | None = None

    @property
    def fingerprint(self) -> None:
        """None: only transformers can fill in what its config leaves out."""

    def language_model(self, tensors: Mapping[str, Tensor], device: str) -> LanguageModel:
        """Build it by transformers."""
        runner = TransformersRunner(build_transformers(self.files, tensors).module.to(device))
        if not runner.is_causal:
            raise UsageError(
                f"{type(runner.module).__name__} predicts no next token: it has no bits per byte"
            )
        return runner

    def stream(self, tokens: str, tokenizer: Any) -> Stream:
        """Read text through its own tokenizer, or tokens through a SentencePiece model."""
        if tokenizer is not None:
            return read_stream(tokens, read_sentencepiece(tokenizer))
        if not is_text(tokens):
            raise UsageError(f"{tokens}: this model is scored on plain text, a .txt file")
        return tokenize_documents(read_text(Path(tokens)), read_tokenizer(self.files))

    def batch_tokens(self, settings: Settings) -> int:
        """Return what its vocabulary allows."""
        return fitting(settings, vocabulary_of(self.files))

    def window(self, asked: int | None) -> tuple[int, tuple[str, ...]]:
        """Return what memory and the model allow."""
        longest = positions_of(self.files)
        if asked is not None and longest is not None and asked > longest:
            raise UsageError(f"`window_tokens` {asked}: the model takes {longest} at most")
        return asked or min(WINDOW_TOKENS, longest or WINDOW_TOKENS), ()

    def bos_id(self, tokenizer: Any) -> int:  # noqa: ARG002
        """Return what starts a document of its own tokenizer."""
        return start_of(read_tokenizer(self.files))

    def batches(self, data: DataOptions, settings: Settings) -> tuple[Batches, tuple[str, ...]]:
        """Cut tokens into windows; text goes through the model's own tokenizer."""
        if data.tokens is None:
            return ModuleBatches(data.batches or ()), ()
        size, _ = self.window(data.window_tokens)
        limit = data.limit_tokens or default_tokens(self.weights)
        vocabulary = vocabulary_of(self.files)
        ids = read_ids(
            data.tokens,
            lambda text: tokenize_documents(text, read_tokenizer(self.files)).ids,
            vocabulary,
        )
        windows = cut_windows(ids, size, limit_tokens=limit)
        notes = (f"calibration: {windows.size:,} tokens in windows of {windows.shape[1]}",)
        return TokenBatches(windows, fitting(settings, vocabulary)), notes

    def build(self, checkpoint: Checkpoint, device: str) -> Runner:
        """Build it by transformers."""
        module = build_transformers(self.files, tensors_of(checkpoint)).module.to(device)
        if self.forward is not None:
            return ModuleRunner(module, self.forward)
        return TransformersRunner(module)


@dataclass(frozen=True)
class LiveModule:
    """A module that is in memory, of any class."""

    module: nn.Module
    forward: Forward | None = None

    @property
    def fingerprint(self) -> None:
        """None: it depends on how it is run."""

    def batches(self, data: DataOptions, settings: Settings) -> tuple[Batches, tuple[str, ...]]:
        """Take batches as they are given, or windows of ids."""
        if data.batches is not None:
            return ModuleBatches(data.batches), ()
        if not isinstance(data.tokens, np.ndarray):
            raise UsageError("a module has no tokenizer: give `batches`, or an array of ids")
        windows = cut_windows(
            data.tokens.astype(np.uint32),
            data.window_tokens or WINDOW_TOKENS,
            limit_tokens=data.limit_tokens or LIMIT_TOKENS,
        )
        return TokenBatches(windows, settings.batch_tokens), ()

    def build(self, checkpoint: Checkpoint, device: str) -> Runner:  # noqa: ARG002
        """Take the module itself, if its weights are numbers and can be learned."""
        if any(parameter.is_inference() for parameter in self.module.parameters()):
            raise UsageError(
                "the module was made in torch.inference_mode, where weights get no gradients: make"
                " it outside"
            )
        check_weights(dict(self.module.named_parameters()), "the module")
        return ModuleRunner(self.module.to(device).eval(), self.forward)


def default_tokens(weights: int) -> int:
    """
    Return how many tokens a calibration runs, unless told otherwise.

    Args:
        weights: Of the model.

    Returns:
        ``LIMIT_TOKENS`` for small models, down to ``LEAST_TOKENS`` for large ones.

    >>> default_tokens(6_000_000), default_tokens(134_515_008)
    (32768, 16384)

    """
    return max(LEAST_TOKENS, min(LIMIT_TOKENS, RUN_WEIGHTS // weights))


def tensors_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Read all tensors of a checkpoint, under the names that it has them."""
    stored = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
    return restore(checkpoint.names, stored, checkpoint.ties, checkpoint.banks)
