"""What ``artpack eval`` scores: models that are ready to run, and a stream of tokens."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from artpack.artifact.weights import Weights, read_weights
from artpack.errors import UsageError
from artpack.evaluate.scoring.compiled import Compiled
from artpack.evaluate.scoring.hugging_face import check_text, read_causal_lm, tokenize_documents
from artpack.evaluate.tokens.byte_check import ByteCheck, check_bytes, find_losses
from artpack.evaluate.tokens.documents import DOCUMENT_SEPARATOR
from artpack.evaluate.tokens.shards import find_shards
from artpack.evaluate.tokens.stream import Stream, is_text, read_stream, read_text
from artpack.models import ModelConfig, build
from artpack.models.defects import as_meant, as_published
from artpack.models.find import find_model, read_model, stored_model
from artpack.runners.protocol import LanguageModel
from artpack.stages import Config
from artpack.stages.finite import check_weights


@dataclass(frozen=True)
class Source:
    """
    Where the models come from and how they are to run.

    Attributes:
        artifact: An artifact or a raw checkpoint.
        baseline: A checkpoint of the same model, to compare with.
        model: Preset or config file that was asked for.
        key: Where in a raw checkpoint the weights are.
        strip_prefix: What to take off the names in one.
        faithful: Keep published defects.
    """

    artifact: Path
    baseline: Path | None
    model: str | None
    key: str | None
    strip_prefix: str | None
    faithful: bool


@dataclass(frozen=True)
class Subject:
    """
    Models and the tokens that they are scored on.

    Attributes:
        stream: The tokens.
        sha256: Hashes of the files that were read.
        notes: What was decided on the way, one line each.
        models: The baseline, if there is one, and what is scored.
        vocab_size: Every token must be below this.
        max_tokens: Longest window that the models take; None for any.
        config: Of all the models, if they are ours.
        ttt: Recipe of test-time training that came with the weights, if any.
        texts: The documents that the tokens were made of; None if they were tokens already.
        check: Outcome of counting the bytes twice, if that was asked for.
    """

    stream: Stream
    sha256: dict[str, str]
    notes: tuple[str, ...] = ()
    models: tuple[LanguageModel, ...] = ()
    vocab_size: int = 0
    max_tokens: int | None = None
    config: ModelConfig | None = None
    ttt: Config | None = None
    texts: list[str] | None = None
    check: ByteCheck | None = None

    @property
    def sound(self) -> bool:
        """Whether no check of the bytes has failed."""
        return self.check is None or self.check.sound


def read_tokens(
    tokens: str, tokenizer: Path | None, sidecar: str | None, *, check: bool, faithful: bool
) -> Subject:
    """Read a stream that no model is chosen for yet; count its bytes twice if asked to."""
    if tokenizer is None:
        raise UsageError("bytes are counted with the tokenizer: give --tokenizer")
    processor = read_tokenizer(tokenizer)
    stream = read_stream(tokens, processor, sidecar=sidecar, faithful=faithful)
    files = [Path(tokens)] if is_text(tokens) else find_shards(tokens)
    files += find_shards(sidecar, sidecars=True) if sidecar else []
    texts = read_text(Path(tokens)).split(DOCUMENT_SEPARATOR) if is_text(tokens) else None
    found = None
    if check or texts is not None:
        found = check_bytes(
            stream.ids, stream.byte_counts, processor, bos_id=stream.bos_id, texts=texts
        )
    return Subject(
        stream,
        _hash_files([*files, tokenizer]),
        tuple(_token_notes(tokens, stream, processor, found, sidecar=sidecar)),
        texts=texts,
        check=found if check else None,
    )


def _token_notes(
    tokens: str,
    stream: Stream,
    tokenizer: SentencePieceProcessor,
    check: ByteCheck | None,
    *,
    sidecar: str | None,
) -> Iterator[str]:
    """Yield what is to be known of a stream's bytes."""
    if is_text(tokens):
        yield _text_note(tokens, stream)
    if check is not None and check.mismatches:
        yield f"{check.counted:,} bytes are counted, the tokens decode to {check.decoded:,}"
    if check is None and sidecar is not None:
        yield "bytes are those of the sidecar as it is; --check-bytes compares them with the text"
    yield from (find_losses(stream.ids, tokenizer) if check is None else check.losses).lines()


def with_models(subject: Subject, source: Source, device: str) -> Subject:
    """Read the weights, find out what model they belong to, and build it."""
    paths = [source.artifact] if source.baseline is None else [source.baseline, source.artifact]
    weights = [
        read_weights(path, key=source.key, strip_prefix=source.strip_prefix) for path in paths
    ]
    config, notes = _choose_model(weights[-1], source)
    run = as_published(config) if source.faithful else as_meant(config)
    if run != config:
        notes = (*notes, _defect_note(faithful=source.faithful))
    models = tuple(build(run, one.tensors).to(device) for one in weights)
    for path, model in zip(paths, models, strict=True):
        check_weights(dict(model.named_parameters()), str(path))
    hashes = {str(path): one.sha256 for path, one in zip(paths, weights, strict=True)}
    return replace(
        subject,
        sha256=hashes | subject.sha256,
        notes=(*subject.notes, *(note for one in weights for note in one.notes), *notes),
        models=models,
        vocab_size=run.vocab_size,
        config=run,
        ttt=weights[-1].ttt,
    )


def with_compiled_models(subject: Subject) -> Subject:
    """Run the layers through torch.compile."""
    return replace(subject, models=tuple(map(Compiled, subject.models)))


def read_hugging_face(folder: Path, tokens: str, device: str, *, check: bool) -> Subject:
    """Read a model of Hugging Face and tokenize a text with its own tokenizer."""
    if not is_text(tokens):
        raise UsageError(f"{tokens}: --hf scores plain text, a file that ends in .txt")
    model, tokenizer = read_causal_lm(folder)
    text = read_text(Path(tokens))
    stream = tokenize_documents(text, tokenizer)
    found = check_text(stream, text, tokenizer)
    return Subject(
        stream,
        _hash_files([*sorted(p for p in folder.iterdir() if p.is_file()), Path(tokens)]),
        (_text_note(tokens, stream), *found.losses.lines()),
        check=found if check else None,
        models=(model.to(device),),
        vocab_size=model.vocab_size,
        max_tokens=model.max_tokens,
    )


def _hash_files(paths: list[Path]) -> dict[str, str]:
    """Return each file's SHA-256 in hexadecimal."""
    hashes = {}
    for path in paths:
        with path.open("rb") as file:
            hashes[str(path)] = file_digest(file, "sha256").hexdigest()
    return hashes


def read_tokenizer(path: Path) -> SentencePieceProcessor:
    """Read a SentencePiece model."""
    """Read a SentencePiece model."""
    try:
        return SentencePieceProcessor(model_proto=path.read_bytes())
    except RuntimeError as error:
        raise UsageError(f"{path}: not a SentencePiece model") from error


def _choose_model(weights: Weights, source: Source) -> tuple[ModelConfig, tuple[str, ...]]:
    if source.model is not None:
        return read_model(source.model, weights.shapes), ()
    stored = stored_model(weights.model)
    if stored is not None:
        return stored, ()
    found = find_model(weights.shapes, source.artifact)
    if found.config is None:
        raise UsageError(f"{source.artifact}: {'; '.join(found.notes)}; say it with --model")
    return found.config, found.notes


def _defect_note(*, faithful: bool) -> str:
    if faithful:
        return "the model runs with its published defects"
    return "the model runs without its published defects; see --faithful"


def _text_note(tokens: str, stream: Stream) -> str:
    text_bytes = sum(len(part) for part in Path(tokens).read_bytes().split(b"\0"))
    counted = int(stream.byte_counts.sum())
    return f"{tokens} has {text_bytes:,} bytes of text, its tokens stand for {counted:,}"
