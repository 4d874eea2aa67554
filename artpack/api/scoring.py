"""Files in memory, scored beside the checkpoint that they were made of."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from artpack.api.runnable import GptModel, Language, tensors_of
from artpack.api.sources import Opened
from artpack.artifact.reader import open_artifact
from artpack.calibration.windows import hash_tokens
from artpack.evaluation.scoring.score import Comparison, compare
from artpack.evaluation.windows.placements import place
from artpack.evaluation.windows.plan import share_rows
from artpack.pack.compress import Packed
from artpack.pack.sensitivities import Loss
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress


@dataclass(frozen=True)
class Scoring:
    """
    What packed files are scored on, in windows side by side.

    Attributes:
        tokens: Shards, arrays or text.
        tokenizer: Their SentencePiece model; None where the model has one of its own.
        limit_tokens: Score no more than the first so many; None for all.
    """

    tokens: str | os.PathLike[str]
    tokenizer: str | os.PathLike[str] | None
    limit_tokens: int | None = None


class FileScorer:
    """
    A checkpoint's model and the tokens that files are scored on.

    Args:
        scoring: Which tokens.
        opened: The weights that files are compared with.
        model: Their model.
        settings: How models are run.
        progress: Told how far it is.
    """

    def __init__(
        self,
        scoring: Scoring,
        opened: Opened,
        model: Language,
        settings: Settings,
        progress: Progress | None = None,
    ) -> None:
        self._model, self._progress = model, progress
        stream = model.stream(os.fspath(scoring.tokens), scoring.tokenizer)
        self._baseline = model.language_model(tensors_of(opened.checkpoint), settings.device)
        self._stream = stream.first(scoring.limit_tokens)
        window, _ = model.window(None)
        plan = place("sequential", self._stream.ids, window, window, bos_id=stream.bos_id)
        self._plan = share_rows(plan) if isinstance(model, GptModel) else plan
        self._settings = replace(settings, batch_tokens=model.batch_tokens(settings))
        self._last: tuple[Packed, Comparison] | None = None

    @property
    def sha256(self) -> str:
        """Hash of the tokens that are scored, in hexadecimal."""
        return hash_tokens(self._stream.ids.astype(np.int64))

    def increase(self, packed: Packed) -> float:
        """Return how many bits per byte a file scores above its checkpoint."""
        return self.compare(packed).bits_per_byte_increase.value

    def compare(self, packed: Packed) -> Comparison:
        """Decode a file and score it beside its checkpoint; the last one is remembered."""
        if self._last is None or self._last[0] is not packed:
            with open_artifact(
                packed.content(), max_decoded_bytes=packed.decoded_bytes
            ) as artifact:
                self._last = packed, self.compare_weights(artifact.load())
        return self._last[1]

    def compare_weights(self, weights: Mapping[str, Tensor]) -> Comparison:
        """Score tensors under the model's own names beside the checkpoint."""
        return compare(
            self._baseline,
            self._model.language_model(weights, self._settings.device),
            self._stream.ids,
            self._plan,
            self._stream.byte_counts,
            settings=self._settings,
            bos_id=self._stream.bos_id,
            progress=self._progress,
        )


def measured_loss(loss: Loss, packed: Packed) -> float:
    """
    Decode a file and measure what its errors cost on calibration data.

    Args:
        loss: Measures that.
        packed: The file.

    Returns:
        The loss, in its unit.

    """
    with open_artifact(packed.content(), max_decoded_bytes=packed.decoded_bytes) as artifact:
        names = [tensor.name for tensor in artifact.header.plan.tensors]
        return loss({name: artifact.stored_tensor(name) for name in names})
