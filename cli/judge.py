"""Scores files that are still in memory beside the checkpoint that they were made of."""

from pathlib import Path

from artpack.artifact.reader import open_artifact
from artpack.checkpoint import Checkpoint, restore
from artpack.errors import UsageError
from artpack.evaluate.scoring.forward import Settings
from artpack.evaluate.scoring.score import Comparison, compare
from artpack.evaluate.tokens.stream import read_stream
from artpack.evaluate.windows.placements import place
from artpack.evaluate.windows.plan import share_rows
from artpack.models import ModelConfig, build
from artpack.models.defects import as_meant
from artpack.models.find import find_training_window
from artpack.pack.compress import Packed
from artpack.stages.finite import check_weights

from .calibration import WINDOW_TOKENS
from .notes import symbols
from .options.budget import Judging
from .render import eval as render_eval
from .subject import read_tokenizer


class Judge:
    """
    A checkpoint's model and the tokens that files are scored on, in windows side by side.

    Args:
        judging: Which tokens.
        checkpoint: The weights that files are compared with.
        path: Their file.
        config: Their model; None if it is not known.
        settings: How models are run.
    """

    def __init__(
        self,
        judging: Judging,
        checkpoint: Checkpoint,
        path: Path,
        config: ModelConfig | None,
        settings: Settings,
    ) -> None:
        if config is None:
            raise UsageError(f"{path}: nothing to score: say the model with --model")
        self._config = as_meant(config)
        stored = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
        tensors = restore(checkpoint.names, stored, checkpoint.ties, checkpoint.banks)
        self._baseline = build(self._config, tensors).to(settings.device)
        check_weights(dict(self._baseline.named_parameters()), str(path))
        stream = read_stream(judging.tokens, read_tokenizer(judging.tokenizer))
        self._stream = stream.first(judging.limit_tokens)
        window = find_training_window(config, path) or WINDOW_TOKENS
        plan = place("sequential", self._stream.ids, window, window, bos_id=stream.bos_id)
        self._plan = share_rows(plan)
        self._settings = settings
        self._last: tuple[Packed, Comparison] | None = None

    def increase(self, packed: Packed) -> float:
        """Return how many bits per byte a file scores above its checkpoint."""
        return self.compare(packed).bits_per_byte_increase.value

    def compare(self, packed: Packed) -> Comparison:
        """Decode a file and score it beside its checkpoint; the last one is remembered."""
        if self._last is None or self._last[0] is not packed:
            self._last = packed, self._compare(packed)
        return self._last[1]

    def _compare(self, packed: Packed) -> Comparison:
        content = b"".join(packed.pieces())
        with open_artifact(content, max_decoded_bytes=symbols(packed)) as artifact:
            model = build(self._config, artifact.load()).to(self._settings.device)
        with render_eval.progress(shown=True) as progress:
            return compare(
                self._baseline,
                model,
                self._stream.ids,
                self._plan,
                self._stream.byte_counts,
                settings=self._settings,
                bos_id=self._stream.bos_id,
                progress=progress,
            )
