"""Inputs of a packed file: weights, their model, and what is known of the data."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from artpack.api.dequantize import dequantized
from artpack.api.learning import Learning
from artpack.api.runnable import DataOptions
from artpack.api.sources import Opened, WeightSource, open_source
from artpack.api.tokens import TokenSource
from artpack.calibration.file import Calibration
from artpack.models import ModelConfig
from artpack.runners.losses import LossName
from artpack.runners.module import Forward
from artpack.runners.onnx import BatchSource
from artpack.system.run_folder import RunFolder
from artpack.system.workers import Jobs


@dataclass(frozen=True, kw_only=True)
class CompressInputs:
    """
    Which weights are packed, and what is known of the data.

    Attributes:
        source: The weights; a sequence of paths to be averaged.
        key: Where in a file of ``torch.save`` they are.
        strip_prefix: What to take off their names.
        average: ``mean`` or ``ema``, for several checkpoints.
        decay: Of ``ema``: what is kept of the average at each further checkpoint.
        include: Regular expression that must be found in a tensor's name.
        exclude: One that must not.
        model: The weights' model, a config, preset or file; None to find it.
        calibration: What is known of the data, or its file. With ``calibration_tokens``, a
            file that is missing is written.
        calibration_tokens: Calibrate with these tokens.
        calibration_batches: Calibrate with these batches, as the model takes them: a tensor,
            a tuple of arguments, or a mapping of named arguments each. Also arrays by the
            names of arguments, samples along the first axis, or an ``.npz`` file of them.
        loss: What a change of its outputs costs, see :func:`artpack.calibrate`.
        learning: What weights learn by where more than the calibration is learned from.
        forward: Runs the model, a module, on a batch, and returns its outputs.
        tokenizer: SentencePiece model of these tokens; text needs it.
        device: Where the model runs and quantizers compute.
        jobs: Threads, None for one a core, or an ``artpack.Cluster``; the bytes do not depend on
            it.
        files: Small files that the artifact carries besides those of its source's folder:
            relative path to content.
        tokenizer_files: Whether those of the source's tokenizer are among them.
        dequantize: Let transformers turn weights that are quantized already into plain ones.
        run_folder: Keeps what is found on the way, see :class:`artpack.RunFolder`.
    """

    source: WeightSource | Sequence[str | os.PathLike[str]]
    key: str | None = None
    strip_prefix: str | None = None
    average: str | None = None
    decay: float | None = None
    include: str = ""
    exclude: str | None = None
    model: ModelConfig | str | None = None
    calibration: Calibration | str | os.PathLike[str] | None = None
    calibration_tokens: TokenSource | None = None
    calibration_batches: BatchSource | Iterable[Any] | None = None
    loss: LossName | None = None
    learning: Learning | None = None
    forward: Forward | None = None
    tokenizer: str | os.PathLike[str] | None = None
    device: str = "cpu"
    jobs: Jobs = None
    files: Mapping[str, bytes] | None = None
    tokenizer_files: bool = True
    dequantize: bool = False
    run_folder: RunFolder | None = None

    @property
    def has_data(self) -> bool:
        """Whether anything will be known of the data."""
        return self.calibration is not None or self.data.given

    @cached_property
    def data(self) -> DataOptions:
        """What the model is run over."""
        return DataOptions(
            tokens=self.calibration_tokens,
            batches=self.calibration_batches,
            tokenizer=self.tokenizer,
        )

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """Open the weights."""
        with (
            dequantized(self.source) if self.dequantize else nullcontext(self.source) as source,
            open_source(
                source,
                key=self.key,
                strip_prefix=self.strip_prefix,
                average=self.average,
                decay=self.decay,
            ) as opened,
        ):
            yield opened

    def source_sha256(self) -> str:
        """Return the hash of the weights' files, in hexadecimal."""
        with self.open() as opened:
            return opened.checkpoint.sha256
