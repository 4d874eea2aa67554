"""The model of some weights: what is known of it, and how it is run."""

from collections.abc import Mapping
from dataclasses import dataclass

from artpack.api.carried import find_files
from artpack.api.graphs import graph_files, graph_model
from artpack.api.runnable import GptModel, LiveModule, Runnable, TransformersModel
from artpack.api.sources import Opened
from artpack.checkpoint.repository import CONFIG_NAME, is_model_file
from artpack.checkpoint.selection import Selection, select
from artpack.errors import UsageError
from artpack.models import ModelConfig
from artpack.models.find import choose_model
from artpack.models.kinds import (
    DEQUANTIZED,
    TRANSFORMERS,
    kind_of,
    quantization_of,
    transformers_model,
)
from artpack.runners.module import Forward
from artpack.stages import Config
from artpack.stages.parsing import parse_json


@dataclass(frozen=True)
class Description:
    """
    What is known of the model of some weights.

    Attributes:
        config: Of this project's own models.
        stored: What an artifact's header says of it; None if nothing is known.
        files: What another library needs besides the weights.
        notes: What was decided on the way, one line each.
    """

    config: ModelConfig | None
    stored: Config | None
    files: Mapping[str, bytes]
    notes: tuple[str, ...]


def describe_model(
    opened: Opened,
    asked: ModelConfig | str | None,
    selection: Selection,
    *,
    tokenizer_files: bool = True,
) -> Description:
    """
    Find out what model some weights are of.

    Args:
        opened: The weights.
        asked: Their model, a config, preset or file; None to find it.
        selection: Those of the weights that are used.
        tokenizer_files: Whether files of a tokenizer are read, too.

    Returns:
        What is known.

    Raises:
        UsageError: What was asked for does not exist, or is another model.

    """
    graph = opened.checkpoint.graph
    if graph is not None and asked is None:
        drawn = graph_model(graph)
        files = graph_files(graph, selection)
        return Description(None, drawn.other, files, drawn.notes)
    if opened.files and asked is None:
        stored = transformers_model(parse_json(opened.files[CONFIG_NAME]))
        kept = {n: c for n, c in opened.files.items() if tokenizer_files or is_model_file(n)}
        return Description(None, stored, kept, ())
    found = choose_model(asked, selection.shapes, opened.path, opened.config)
    files, notes = dict[str, bytes](), found.packing_notes
    if opened.module is not None and found.stored is None:
        notes = ()  # it is run as it is
    if found.other is not None and opened.path is not None:
        files, carried = find_files(opened.path, tokenizer=tokenizer_files)
        notes = (*notes, *carried, *_quantized(files))
    return Description(found.config, found.stored, files, notes)


def _quantized(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Say that weights are quantized already."""
    method = quantization_of(parse_json(files.get(CONFIG_NAME, b"null")))
    if method is None:
        return ()
    note = (
        f"quantized already, by {method} as quantization_config in {CONFIG_NAME} says: whole"
        " numbers, 8-bit floats and their scales are kept bit for bit"
    )
    return (f"{note}; `dequantize` packs what they stand for" if method in DEQUANTIZED else note,)


def find_runnable(
    opened: Opened, model: Description, forward: Forward | None = None
) -> Runnable | None:
    """
    Find out how a model is run.

    Args:
        opened: Its weights.
        model: What is known of it.
        forward: Runs a module, in memory or of transformers, and returns its outputs.

    Returns:
        The model; None if nobody knows how.

    Raises:
        UsageError: ``forward`` is given, and there is no module to run.

    """
    if forward is not None and opened.module is not None:
        return LiveModule(opened.module, forward)
    if model.stored is not None and kind_of(model.stored) == TRANSFORMERS:
        weights = sum(info.weights for info in opened.checkpoint.tensors)
        return TransformersModel(model.files, weights, forward)
    if forward is not None:
        raise UsageError(
            "`forward` says how a module is run: give the module, or a folder of transformers"
        )
    if model.config is not None:
        return GptModel(model.config, opened.path)
    return None if opened.module is None else LiveModule(opened.module)


def known_runnable(
    opened: Opened, asked: ModelConfig | str | None, forward: Forward | None
) -> tuple[Runnable, tuple[str, ...]]:
    """
    Insist on a model that can be run.

    Args:
        opened: Its weights.
        asked: What it is, if that was said.
        forward: Runs a module.

    Returns:
        The model, and notes.

    Raises:
        UsageError: Nobody knows how to run it.

    """
    found = describe_model(opened, asked, select(opened.checkpoint))
    model = find_runnable(opened, found, forward)
    if model is None:
        raise UsageError(f"{opened.name}: {'; '.join(found.notes)}; say it with `model`")
    return model, found.notes
