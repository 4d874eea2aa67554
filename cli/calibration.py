"""Collects a calibration, or reads one, for the commands that need it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from artpack.calibration.collect import (
    CALIBRATION,
    Windows,
    calibrate,
    cut_windows,
    hash_tokens,
    self_generate,
)
from artpack.calibration.file import (
    Calibration,
    hash_config,
    read_calibration,
    write_calibration,
)
from artpack.checkpoint import Checkpoint, restore
from artpack.errors import UsageError
from artpack.evaluate.scoring.forward import Settings
from artpack.evaluate.tokens.shards import Tokens, read_tokens
from artpack.evaluate.tokens.stream import is_text, read_text, tokenize_text
from artpack.models import GPT, ModelConfig, build
from artpack.models.defects import as_meant
from artpack.models.find import find_training_window
from artpack.stages.finite import check_weights
from artpack.system.ranks import Ranks

from .options.outputs import check_output
from .render import tables as render
from .subject import read_tokenizer

LIMIT_TOKENS = 131_072
WINDOW_TOKENS = 1024
"""Where nobody says what the model was trained with."""


@dataclass(frozen=True)
class Origin:
    """
    Where calibration tokens come from.

    Attributes:
        tokens: Shards, arrays or text; None for tokens that the model writes itself.
        tokenizer: The tokens' SentencePiece model; text needs it.
        written_tokens: How many tokens the model writes, if it does.
        temperature: What it writes them at.
        limit_tokens: Take no more than this from ``tokens``.
        window_tokens: Tokens a window; None for what the model was trained with.
        seed: Of what the model writes.
    """

    tokens: str | None
    tokenizer: Path | None = None
    written_tokens: int | None = None
    temperature: float = 1.0
    limit_tokens: int = LIMIT_TOKENS
    window_tokens: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.tokens is None) == (self.written_tokens is None):
            raise UsageError("give the tokens to run: either --tokens or --self-generate")


@dataclass(frozen=True)
class Run:
    """
    A model that is ready to be calibrated.

    Attributes:
        checkpoint: Where its weights come from.
        model: The model of its weights, as its authors meant it.
        settings: How it runs.
    """

    checkpoint: Checkpoint
    model: GPT
    settings: Settings

    @classmethod
    def of(cls, checkpoint: Checkpoint, config: ModelConfig, settings: Settings) -> "Run":
        """Build the model."""
        stored = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
        tensors = restore(checkpoint.names, stored, checkpoint.ties, checkpoint.banks)
        model = build(as_meant(config), tensors).to(settings.device)
        check_weights(dict(model.named_parameters()), "the checkpoint")
        return cls(checkpoint, model, settings)

    def write_windows(self, origin: Origin, size: int) -> Windows:
        """Have the model write the windows to run."""
        assert origin.written_tokens is not None
        bos_id = 1 if origin.tokenizer is None else read_tokenizer(origin.tokenizer).bos_id()
        with render.progress("writing", shown=Ranks.current().rank == 0) as progress:
            return self_generate(
                self.model,
                max(1, origin.written_tokens // size),
                size,
                bos_id=bos_id,
                temperature=origin.temperature,
                seed=origin.seed,
                progress=progress,
            )

    def collect(self, windows: Windows, *, fisher: bool = True, seed: int = 0) -> Calibration:
        """Collect the calibration."""
        with render.progress("calibrating", shown=Ranks.current().rank == 0) as progress:
            return calibrate(
                self.model,
                windows,
                weights_sha256=self.checkpoint.weights_sha256,
                fisher=fisher,
                seed=seed,
                settings=self.settings,
                progress=progress,
            )


def choose_window(origin: Origin, config: ModelConfig, path: Path) -> tuple[int, list[str]]:
    """Return the tokens of a window; a note where they are anybody's guess."""
    known = origin.window_tokens or find_training_window(config, path)
    if known is not None:
        return known, []
    return WINDOW_TOKENS, [f"window: {WINDOW_TOKENS} tokens; --window-tokens says another"]


def read_windows(origin: Origin, config: ModelConfig, size: int) -> Windows:
    """Read the windows to run."""
    assert origin.tokens is not None
    ids = _read(origin.tokens, origin.tokenizer, config.vocab_size)
    return cut_windows(ids, size, limit_tokens=origin.limit_tokens)


def _read(tokens: str, tokenizer: Path | None, vocab_size: int) -> Tokens:
    if not is_text(tokens):
        return read_tokens(tokens, vocab_size=vocab_size)
    if tokenizer is None:
        raise UsageError(f"{tokens}: text needs its --tokenizer")
    ids = tokenize_text(read_text(Path(tokens)), read_tokenizer(tokenizer)).ids
    if int(ids.max()) >= vocab_size:
        raise UsageError(f"{tokenizer}: its ids go beyond the model's vocabulary of {vocab_size}")
    return ids


def read_fitting(
    path: Path, checkpoint: Checkpoint, config: ModelConfig | None, windows: Windows | None = None
) -> Calibration:
    """Read a calibration that was collected with these weights, this model and these tokens."""
    calibration = read_calibration(path)
    try:
        calibration.check_fit(
            {info.name: info.shape for info in checkpoint.tensors},
            weights_sha256=checkpoint.weights_sha256,
            model_sha256=None if config is None else hash_config(as_meant(config).to_json()),
        )
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    if windows is not None and calibration.fingerprint.get("tokens_sha256") != hash_tokens(windows):
        raise UsageError(f"{path}: the calibration is for other tokens: leave --tokens out")
    return calibration


class Obtained(NamedTuple):
    """
    What is known of the data.

    Attributes:
        calibration: None if nothing is.
        notes: What was decided on the way, one line each.
        windows: The tokens it was collected on, if they are at hand.
        run: The model, if there are tokens for it to run over.
    """

    calibration: Calibration | None = None
    notes: tuple[str, ...] = ()
    windows: Windows | None = None
    run: Run | None = None


def obtain(
    file: Path | None,
    tokens: str | None,
    *,
    path: Path,
    checkpoint: Checkpoint,
    config: ModelConfig | None,
    device: str,
) -> Obtained:
    """
    Read a calibration from a file, or collect it from tokens, or collect it into the file.

    Args:
        file: The file; written if it does not exist and there are tokens.
        tokens: Shards or arrays; None if the file must exist.
        path: The checkpoint's file.
        checkpoint: The same, opened.
        config: Its model, if it is known.
        device: Where the model runs.

    Returns:
        The calibration, if either was given.

    Raises:
        UsageError: The file does not fit, or the model is not known.

    """
    if tokens is None:
        return Obtained() if file is None else Obtained(read_fitting(file, checkpoint, config))
    if config is None:
        raise UsageError(f"{tokens}: nothing to run them with: say the model with --model")
    if file is not None and not file.exists():
        check_output(file)
    origin = Origin(tokens)
    size, notes = choose_window(origin, config, path)
    windows = read_windows(origin, config, size)
    run = Run.of(checkpoint, config, replace(CALIBRATION, device=device))
    if file is not None and file.exists():
        calibration = read_fitting(file, checkpoint, config, windows)
        return Obtained(calibration, tuple(notes), windows, run)
    calibration = run.collect(windows)
    if file is not None:
        write_calibration(file, calibration)
    return Obtained(calibration, tuple(notes), windows, run)
