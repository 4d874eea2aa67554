"""Models to score: artifacts, checkpoints, weights in memory, folders of Hugging Face."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from torch import nn

from artpack.api.carried import files_beside, files_of_module
from artpack.api.compress import CompressResult
from artpack.api.eval_tokens import EvalTokens, ScoredTokens
from artpack.api.sources import WeightSource
from artpack.artifact.reader import Artifact, open_artifact
from artpack.artifact.weights import Weights, is_artifact, read_weights, weights_of
from artpack.checkpoint import from_state_dict, restore
from artpack.errors import CheckpointError, UsageError
from artpack.evaluation.scoring.compiled import Compiled
from artpack.models import GPT, ModelConfig, build
from artpack.models.defects import as_meant, as_published
from artpack.models.find import choose_model, stored_model
from artpack.models.kinds import TRANSFORMERS, describe_kind, kind_of
from artpack.runners.hugging_face import TransformersRunner
from artpack.runners.hugging_face_files import build_transformers
from artpack.runners.protocol import LanguageModel
from artpack.stages import Config
from artpack.stages.finite import check_weights

Files: TypeAlias = Mapping[str, bytes]
"""Relative path to content."""

EvalSource: TypeAlias = WeightSource | CompressResult
"""An artifact or a checkpoint, a state dict, a module of ours, or a file that was just packed."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """
    How models are found in weights, and how they run.

    Attributes:
        model: The weights' model, a config, preset or file; None to find it.
        key: Where in a file of ``torch.save`` the weights are.
        strip_prefix: What to take off their names.
        faithful: Keep the defects of a published model.
        compiled: Run the layers through ``torch.compile``.
        device: Where the models go.
    """

    model: ModelConfig | str | None = None
    key: str | None = None
    strip_prefix: str | None = None
    faithful: bool = False
    compiled: bool = False
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class EvalInputs(EvalTokens):
    """
    Models that are ready to run, and the tokens that they are scored on.

    Attributes:
        models: The baseline, if there is one, and what is scored.
        vocab_size: Every token must be below this.
        max_tokens: Longest window that the models take; None for any.
        config: Of all the models, if they are ours.
        ttt: Recipe of test-time training that came with the weights, if any.
        size_bytes: Of the file that is scored; None where there is none.
    """

    models: tuple[LanguageModel, ...] = ()
    vocab_size: int = 0
    max_tokens: int | None = None
    config: ModelConfig | None = None
    ttt: Config | None = None
    size_bytes: int | None = None

    @property
    def scorable(self) -> bool:
        """Whether there is a model, and nothing against scoring it."""
        return bool(self.models) and self.sound


@dataclass(frozen=True, eq=False)
class _Read:
    """Weights, what to call them, and what is known of them."""

    name: str
    weights: Weights
    path: Path | None = None
    config: ModelConfig | None = None
    size_bytes: int | None = None


def transformers_files(  # noqa: PLR0911
    source: EvalSource | None, options: ModelOptions
) -> Files | None:
    """
    Find the config and the tokenizer of a model of transformers.

    Args:
        source: The weights.
        options: How the model is found.

    Returns:
        Relative path to content; None for any other model.

    Raises:
        ArtifactError: An artifact is damaged.
        CheckpointError: There is no such file.

    """
    if source is None or options.model is not None or isinstance(source, GPT):
        return None
    if isinstance(source, nn.Module):
        return files_of_module(source) or None
    if isinstance(source, Artifact):
        return _files_of(source)
    if isinstance(source, Mapping):
        return None
    if isinstance(source, CompressResult):
        with open_artifact(source.content(), max_decoded_bytes=_decoded(source)) as artifact:
            return _files_of(artifact)
    if not Path(source).exists():
        raise CheckpointError(f"{source}: no such file or folder")
    if not is_artifact(Path(source)):
        return files_beside(Path(source))
    with open_artifact(Path(source)) as artifact:
        return _files_of(artifact)


def with_models(
    tokens: EvalTokens,
    source: EvalSource | None,
    baseline: EvalSource | None,
    options: ModelOptions,
    files: Files | None = None,
) -> EvalInputs:
    """
    Read weights, find out what model they belong to, and build it.

    Args:
        tokens: What is to be scored.
        source: The weights; None for no model.
        baseline: Weights of the same model, to compare with.
        options: How the model is found, and how it runs.
        files: Config and tokenizer, if it is a model of transformers.

    Returns:
        Models and tokens; the tokens alone where a check of their bytes has failed.

    Raises:
        ArtifactError: An artifact is damaged, hostile, or of another version.
        CheckpointError: Weights are not usable, or not the model's.
        UsageError: The model is not known.

    """
    if source is None or not tokens.sound:
        return EvalInputs(**vars(tokens))
    others = [] if baseline is None else [_read(baseline, "the baseline", options)]
    scored = _read(source, "the weights", options)
    weights = [*others, scored]
    built = _build_own(weights, options) if files is None else _build_other(weights, files, options)
    return EvalInputs(
        tokens.stream,
        tokens.tokenizer,
        {one.name: one.weights.sha256 for one in weights} | tokens.sha256,
        (*tokens.notes, *(note for one in weights for note in one.weights.notes), *built.notes),
        tokens.texts,
        tokens.check,
        models=tuple(map(Compiled, built.models)) if options.compiled else built.models,
        vocab_size=built.vocab_size,
        max_tokens=built.max_tokens,
        config=built.config,
        ttt=scored.weights.ttt,
        size_bytes=scored.size_bytes,
    )


class _Built(NamedTuple):
    models: tuple[LanguageModel, ...]
    vocab_size: int
    max_tokens: int | None = None
    config: ModelConfig | None = None
    notes: tuple[str, ...] = ()


def _build_own(weights: Sequence[_Read], options: ModelOptions) -> _Built:
    """Build models of this project's own, all by the config of the last."""
    config, notes = _choose_model(weights[-1], options.model)
    run = as_published(config) if options.faithful else as_meant(config)
    if run != config:
        notes = (*notes, _defect_note(faithful=options.faithful))
    built = [build(run, one.weights.tensors).to(options.device) for one in weights]
    for one, model in zip(weights, built, strict=True):
        check_weights(dict(model.named_parameters()), one.name)
    return _Built(tuple(built), run.vocab_size, config=run, notes=notes)


def _build_other(weights: Sequence[_Read], files: Files, options: ModelOptions) -> _Built:
    """Build models of transformers, all by the config of the last."""
    built, notes = [], list[str]()
    for one in weights:
        try:
            model = build_transformers(files, one.weights.tensors)
        except CheckpointError as error:
            raise CheckpointError(f"{one.name}: {error}") from error
        runner = TransformersRunner(model.module)
        if not runner.is_causal:
            raise UsageError(
                f"{one.name}: {type(runner.module).__name__} predicts no next token: it can be"
                " packed, unpacked and loaded, but has no bits per byte"
            )
        runner.module.to(options.device)
        built.append(runner)
        notes += [f"{one.name}: {note}" for note in model.notes]
    last = built[-1]
    return _Built(tuple(built), last.vocab_size, last.max_tokens, notes=tuple(notes))


def name_of(source: EvalSource | None, tokens: ScoredTokens) -> str:
    """
    Return what to call an evaluation in reports.

    Args:
        source: The weights, if any are scored.
        tokens: The tokens.

    Returns:
        The path of what is scored, or words.

    """
    if source is not None:
        return str(source) if isinstance(source, str | os.PathLike) else "the weights"
    return str(tokens) if isinstance(tokens, str | os.PathLike) else "the tokens"


def _read(source: EvalSource, what: str, options: ModelOptions) -> _Read:
    if isinstance(source, CompressResult):
        content = source.content()
        with open_artifact(content, max_decoded_bytes=_decoded(source)) as artifact:
            weights = weights_of(artifact, hashlib.sha256(content).hexdigest())
        return _Read(what, weights, size_bytes=len(content))
    if isinstance(source, Mapping | nn.Module):
        return _read_memory(source, what)
    path = Path(source)
    weights = read_weights(path, key=options.key, strip_prefix=options.strip_prefix)
    return _Read(str(path), weights, path, size_bytes=path.stat().st_size)


def _decoded(source: CompressResult) -> int:
    return source.result.packed.decoded_bytes


def _files_of(artifact: Artifact) -> Files | None:
    known = artifact.header.model
    kind = kind_of(known)
    if known is None or kind is None:
        return None
    if kind != TRANSFORMERS:
        raise UsageError(f"what is to be scored holds {describe_kind(known)}")
    return artifact.files


def _read_memory(source: WeightSource, what: str) -> _Read:
    if isinstance(source, Artifact):
        source.check_trailer()
    state = source.state_dict() if isinstance(source, nn.Module) else source
    assert isinstance(state, Mapping)
    with from_state_dict(state) as checkpoint:
        stored = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
        tensors = restore(checkpoint.names, stored, checkpoint.ties, checkpoint.banks)
        weights = Weights(tensors, None, checkpoint.sha256, packed=False, notes=checkpoint.notes)
    if isinstance(source, Artifact):
        carried = source.header.provenance.get("ttt")
        ttt = carried if isinstance(carried, dict) else None
        weights = Weights(tensors, source.model, weights.sha256, packed=True, ttt=ttt)
        return _Read(what, weights, size_bytes=source.preamble.file_bytes)
    return _Read(what, weights, config=source.config if isinstance(source, GPT) else None)


def _choose_model(
    read: _Read, asked: ModelConfig | str | None
) -> tuple[ModelConfig, tuple[str, ...]]:
    known = None if asked else read.config or stored_model(read.weights.model)
    found = choose_model(asked, read.weights.shapes, read.path, known)
    return found.needed(read.name), found.notes


def _defect_note(*, faithful: bool) -> str:
    if faithful:
        return "the model runs with its published defects"
    return "the model runs without its published defects; see `faithful`"
