"""Models to score: artifacts, checkpoints, weights in memory, folders of Hugging Face."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import nn

from artpack.api.compress import CompressResult
from artpack.api.eval_tokens import (
    EvalTokens,
    PathLike,
    ScoredTokens,
    hash_files,
    text_note,
)
from artpack.api.sources import WeightSource
from artpack.artifact.reader import Artifact, open_artifact
from artpack.artifact.weights import Weights, read_weights, weights_of
from artpack.checkpoint import from_state_dict, restore
from artpack.errors import UsageError
from artpack.evaluation.scoring.compiled import Compiled
from artpack.evaluation.scoring.hugging_face import check_text, read_causal_lm, tokenize_documents
from artpack.evaluation.tokens.stream import is_text, read_text
from artpack.models import GPT, ModelConfig, build
from artpack.models.defects import as_meant, as_published
from artpack.models.find import choose_model, stored_model
from artpack.runners.protocol import LanguageModel
from artpack.stages import Config
from artpack.stages.finite import check_weights

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


def with_models(
    tokens: EvalTokens,
    source: EvalSource | None,
    baseline: EvalSource | None,
    options: ModelOptions,
) -> EvalInputs:
    """
    Read weights, find out what model they belong to, and build it.

    Args:
        tokens: What is to be scored.
        source: The weights; None for no model.
        baseline: Weights of the same model, to compare with.
        options: How the model is found, and how it runs.

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
    config, notes = _choose_model(scored, options.model)
    run = as_published(config) if options.faithful else as_meant(config)
    if run != config:
        notes = (*notes, _defect_note(faithful=options.faithful))
    weights = [*others, scored]
    built = [build(run, one.weights.tensors).to(options.device) for one in weights]
    for one, model in zip(weights, built, strict=True):
        check_weights(dict(model.named_parameters()), one.name)
    return EvalInputs(
        tokens.stream,
        tokens.tokenizer,
        {one.name: one.weights.sha256 for one in weights} | tokens.sha256,
        (*tokens.notes, *(note for one in weights for note in one.weights.notes), *notes),
        tokens.texts,
        tokens.check,
        models=tuple(map(Compiled, built)) if options.compiled else tuple(built),
        vocab_size=run.vocab_size,
        config=run,
        ttt=scored.weights.ttt,
        size_bytes=scored.size_bytes,
    )


def read_hugging_face(
    folder: PathLike, tokens: ScoredTokens, options: ModelOptions, *, check: bool
) -> EvalInputs:
    """
    Read a model of Hugging Face and tokenize a text with its own tokenizer.

    Args:
        folder: As ``save_pretrained`` writes it.
        tokens: A text.
        options: How the model runs.
        check: Report the comparison of the text with what its tokens decode to.

    Returns:
        Model and tokens.

    Raises:
        CheckpointError: transformers cannot read the folder.
        UsageError: transformers is not installed, or the tokens are no text.

    """
    if not isinstance(tokens, str | os.PathLike) or not is_text(str(tokens)):
        what = f"{tokens}: " if isinstance(tokens, str | os.PathLike) else ""
        raise UsageError(f"{what}`hf` scores plain text, a file that ends in .txt")
    folder, path = Path(folder), Path(tokens)
    model, tokenizer = read_causal_lm(folder)
    text = read_text(path)
    stream = tokenize_documents(text, tokenizer)
    found = check_text(stream, text, tokenizer)
    placed: LanguageModel = model.to(options.device)
    return EvalInputs(
        stream,
        None,
        hash_files([*sorted(p for p in folder.iterdir() if p.is_file()), path]),
        (text_note(tokens, stream), *found.losses.lines()),
        check=found if check else None,
        models=(Compiled(placed) if options.compiled else placed,),
        vocab_size=model.vocab_size,
        max_tokens=model.max_tokens,
    )


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
        content, size = source.content(), source.result.packed.decoded_bytes
        with open_artifact(content, max_decoded_bytes=size) as artifact:
            weights = weights_of(artifact, hashlib.sha256(content).hexdigest())
        return _Read(what, weights, size_bytes=len(content))
    if isinstance(source, Mapping | nn.Module):
        return _read_memory(source, what)
    path = Path(source)
    weights = read_weights(path, key=options.key, strip_prefix=options.strip_prefix)
    return _Read(str(path), weights, path, size_bytes=path.stat().st_size)


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
