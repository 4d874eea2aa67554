"""Files in memory, scored beside the checkpoint that they were made of."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from artpack.api.sources import Opened, build_model
from artpack.api.tokens import WINDOW_TOKENS
from artpack.artifact.reader import open_artifact
from artpack.errors import UsageError
from artpack.evaluation.scoring.score import Comparison, compare
from artpack.evaluation.tokens.stream import read_stream, read_tokenizer
from artpack.evaluation.windows.placements import place
from artpack.evaluation.windows.plan import share_rows
from artpack.models import ModelConfig, build
from artpack.models.defects import as_meant
from artpack.models.find import find_training_window
from artpack.pack.compress import Packed
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress


@dataclass(frozen=True)
class Scoring:
    """
    What packed files are scored on, in windows side by side.

    Attributes:
        tokens: Shards, arrays or text.
        tokenizer: Their SentencePiece model.
        limit_tokens: Score no more than the first so many; None for all.
    """

    tokens: str | os.PathLike[str]
    tokenizer: str | os.PathLike[str]
    limit_tokens: int | None = None


class FileScorer:
    """
    A checkpoint's model and the tokens that files are scored on.

    Args:
        scoring: Which tokens.
        opened: The weights that files are compared with.
        config: Their model.
        settings: How models are run.
        progress: Told how far it is.
    """

    def __init__(
        self,
        scoring: Scoring,
        opened: Opened,
        config: ModelConfig,
        settings: Settings,
        progress: Progress | None = None,
    ) -> None:
        self._config, self._settings, self._progress = as_meant(config), settings, progress
        self._baseline = build_model(opened.checkpoint, config, settings.device)
        tokenizer = read_tokenizer(scoring.tokenizer)
        stream = read_stream(os.fspath(scoring.tokens), tokenizer)
        self._stream = stream.first(scoring.limit_tokens)
        window = find_training_window(config, opened.path) or WINDOW_TOKENS
        plan = place("sequential", self._stream.ids, window, window, bos_id=stream.bos_id)
        self._plan = share_rows(plan)
        self._last: tuple[Packed, Comparison] | None = None

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
            build(self._config, weights).to(self._settings.device),
            self._stream.ids,
            self._plan,
            self._stream.byte_counts,
            settings=self._settings,
            bos_id=self._stream.bos_id,
            progress=self._progress,
        )


def need_model(opened: Opened, config: ModelConfig | None, why: str) -> ModelConfig:
    """
    Insist on a model.

    Args:
        opened: Whose.
        config: The model, if it is known.
        why: What it is needed for, in a few words.

    Returns:
        The model.

    Raises:
        UsageError: It is not known.

    """
    if config is None:
        raise UsageError(f"{opened.name}: {why}: say the model with `model`")
    return config
