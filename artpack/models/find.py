"""The model of some weights: asked for, lying beside them, or recognised."""

from pathlib import Path
from typing import NamedTuple

from artpack.checkpoint.repository import CONFIG_NAME, repository_of
from artpack.errors import CheckpointError, CorruptError, UnknownStageError, UsageError
from artpack.models.build import check_shapes, expected_shapes
from artpack.models.config import ModelConfig
from artpack.models.kinds import describe_kind, kind_of, transformers_model
from artpack.models.presets import PRESETS, preset
from artpack.models.published import read_config
from artpack.models.recognize import Shapes, recognize
from artpack.stages import Config, JsonValue, nearest
from artpack.stages.parsing import parse_json

UNKNOWN_MODEL = "the artifact can be unpacked, but not scored without `model`"


class FoundModel(NamedTuple):
    """
    A model, or why there is none.

    Attributes:
        config: The model; None if it could not be found, or is another library's.
        notes: How it was found or what is missing, one line each.
        other: What a header says of another library's model.
    """

    config: ModelConfig | None
    notes: tuple[str, ...]
    other: Config | None = None

    @property
    def stored(self) -> Config | None:
        """What a header says of the model."""
        return self.other if self.config is None else self.config.to_json()

    @property
    def packing_notes(self) -> tuple[str, ...]:
        """The notes, and what an artifact without a model is good for."""
        return self.notes if self.stored else (*self.notes, UNKNOWN_MODEL)

    def needed(self, name: str) -> ModelConfig:
        """Return the model, or fail: ``name`` says whose it would be."""
        if self.other is not None:
            raise UsageError(f"{name}: {describe_kind(self.other)}; this needs one of this family")
        if self.config is None:
            raise UsageError(f"{name}: {'; '.join(self.notes)}; say it with `model`")
        return self.config


def choose_model(
    asked: ModelConfig | str | None,
    shapes: Shapes,
    path: Path | None,
    known: ModelConfig | None = None,
) -> FoundModel:
    """
    Find the model that weights belong to.

    Args:
        asked: A config, or what :func:`read_model` takes; None if nothing was asked for.
        shapes: Name to shape of every tensor that is used.
        path: The checkpoint's file or folder; None if it has none.
        known: What came with the weights, if anything did.

    Returns:
        The model that was asked for, else the known one, else what :func:`find_model` finds.

    Raises:
        UsageError: What was asked for does not exist, or is another model.
        CheckpointError: The config that was asked for is another model's.

    """
    if isinstance(asked, str):
        return FoundModel(read_model(asked, shapes), ())
    if asked is not None:
        check_shapes(expected_shapes(asked), shapes)
    chosen = asked or known
    return find_model(shapes, path) if chosen is None else FoundModel(chosen, ())


def find_model(shapes: Shapes, path: Path | None) -> FoundModel:
    """
    Find the model of a checkpoint that nobody has described.

    Args:
        shapes: Name to shape of every tensor.
        path: The checkpoint's file or folder; None if it has none.

    Returns:
        What the ``config.json`` beside it says, if that is one of this family and fits
        the tensors; else what their names and shapes alone tell.

    """
    beside = _find_beside(shapes, path)
    if beside.stored is not None:
        return beside
    try:
        config = recognize(shapes)
    except UsageError as error:
        return FoundModel(None, (*beside.notes, f"no model: {error}"))
    names = [name for name, known in PRESETS.items() if known.config == config]
    return FoundModel(
        config, (*beside.notes, f"model: the tensors are those of {', '.join(names)}")
    )


def read_model(asked: str, shapes: Shapes) -> ModelConfig:
    """
    Read the model that was asked for, and check that the tensors are its own.

    Args:
        asked: A preset, or a JSON file: a whole config, a published system's
            ``config.json``, or only the fields that names and shapes do not tell.
        shapes: Name to shape of every tensor.

    Returns:
        The model.

    Raises:
        UsageError: There is no such preset or file, it is not a config, fields are left
            to answer, or the tensors are those of another model.

    """
    if asked in PRESETS:
        return _fitting(preset(asked), shapes, asked)
    if not Path(asked).is_file():
        raise UsageError(f"model {asked!r} is neither a file nor a preset{nearest(asked, PRESETS)}")
    value = _read_json(Path(asked))
    if isinstance(value, dict) and "rope" in value and "vocab_size" not in value:
        return recognize(shapes, value)
    return _fitting(read_config(value), shapes, asked)


def find_training_window(config: ModelConfig, path: Path | None) -> int | None:
    """
    Find the window that a model was trained with.

    Args:
        config: The model.
        path: The checkpoint's file or folder; None if it has none.

    Returns:
        Tokens: what its RoPE says, or else ``train_window_tokens`` in the ``config.json``
        beside the checkpoint; None if neither tells.

    """
    rope = config.rope
    if rope.ntk is not None and rope.ntk.window_tokens is not None:
        return rope.ntk.window_tokens
    if rope.yarn is not None:
        return rope.yarn.trained_tokens
    file = None if path is None else _config_beside(path)
    try:
        value = _read_json(file) if file is not None and file.is_file() else None
    except UsageError:
        return None
    window = value.get("train_window_tokens") if isinstance(value, dict) else None
    return window if type(window) is int and window > 0 else None


def stored_model(value: Config | None) -> ModelConfig | None:
    """
    Read the model that an artifact says it holds.

    Args:
        value: The header's field.

    Returns:
        The model; None if the artifact does not say, or holds another library's.

    Raises:
        CorruptError: The field does not describe a model.

    """
    try:
        return None if value is None or kind_of(value) else ModelConfig.from_json(value)
    except (UsageError, UnknownStageError) as error:
        raise CorruptError(f"the artifact describes no model: {error}") from error


def _find_beside(shapes: Shapes, path: Path | None) -> FoundModel:
    file = None if path is None else _config_beside(path)
    if file is None or not file.is_file():
        return FoundModel(None, ())
    try:
        value = _read_json(file)
        if other := transformers_model(value):
            note = f"model: {describe_kind(other)}; read from {CONFIG_NAME} beside the checkpoint"
            return FoundModel(None, (note,), other)
        config = _fitting(read_config(value), shapes, CONFIG_NAME)
    except (UsageError, UnknownStageError) as error:
        return FoundModel(None, (f"{CONFIG_NAME} beside the checkpoint is not used: {error}",))
    return FoundModel(config, (f"model: read from {CONFIG_NAME} beside the checkpoint",))


def _config_beside(path: Path) -> Path:
    return repository_of(path) / CONFIG_NAME


def _read_json(file: Path) -> JsonValue:
    try:
        value: JsonValue = parse_json(file.read_bytes())
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from error
    return value


def _fitting(config: ModelConfig, shapes: Shapes, origin: str) -> ModelConfig:
    try:
        check_shapes(expected_shapes(config), shapes)
    except CheckpointError as error:
        raise UsageError(f"{origin} describes another model: {error}") from None
    return config
