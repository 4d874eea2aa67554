"""How far weights are from a checkpoint's, on validation tokens."""

from collections.abc import Mapping
from pathlib import Path

from sentencepiece import SentencePieceProcessor
from torch import Tensor

from artpack.checkpoint import Checkpoint, restore
from artpack.evaluate.scoring.score import Comparison, compare
from artpack.evaluate.tokens.stream import Stream, read_stream
from artpack.evaluate.windows.placements import place
from artpack.models import GPT, build
from artpack.models.document_mask import Documents
from artpack.models.find import find_model, find_training_window

WINDOW_TOKENS = 512


class Judge:
    """
    Scores weights beside the checkpoint's, on the same tokens.

    Args:
        checkpoint: What they are compared with.
        path: Its file; a shard of validation tokens and the tokenizer lie beside it.
        tokens: How many of them are scored; None for all.
    """

    def __init__(self, checkpoint: Checkpoint, path: Path, tokens: int | None) -> None:
        self._checkpoint, self.path = checkpoint, path
        config = find_model({info.name: info.shape for info in checkpoint.tensors}, path).config
        assert config is not None
        self._config = config
        stored = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
        self.model = self._build(stored)
        self._baseline = Remembered(self.model)
        self._stream = stream_beside(path, "val.bin").first(tokens)
        self.window_tokens = find_training_window(config, path) or WINDOW_TOKENS
        self._plan = place("sequential", self._stream.ids, self.window_tokens, self.window_tokens)
        self._last: tuple[Mapping[str, Tensor], Comparison] | None = None

    def compare(self, weights: Mapping[str, Tensor]) -> Comparison:
        """Score weights; the last ones are remembered."""
        if self._last is None or self._last[0] is not weights:
            stream = self._stream
            packed = self._build(weights)
            score = compare(self._baseline, packed, stream.ids, self._plan, stream.byte_counts)
            self._last = weights, score
        return self._last[1]

    def _build(self, weights: Mapping[str, Tensor]) -> GPT:
        known = self._checkpoint
        return build(self._config, restore(known.names, weights, known.ties, known.banks))


class Remembered:
    """
    A model that runs on the same tokens only once.

    Args:
        model: The model.
    """

    def __init__(self, model: GPT) -> None:
        self._model = model
        self._hidden: dict[bytes, Tensor] = {}

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """Return hidden states."""
        key = ids.numpy().tobytes()
        if key not in self._hidden:
            self._hidden[key] = self._model.hidden(ids, documents)
        return self._hidden[key]

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits."""
        return self._model.logits(hidden)


def stream_beside(path: Path, shard: str) -> Stream:
    """Read a shard of tokens that lies beside a checkpoint."""
    tokenizer = SentencePieceProcessor(model_file=str(next(path.parent.glob("*.model"))))
    return read_stream(str(path.with_name(shard)), tokenizer)
