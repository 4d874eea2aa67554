"""The job of ``artpack.rebuild``: an artifact made again from its checkpoint, and compared."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from artpack.api.inputs import CompressInputs
from artpack.api.learning import Learning
from artpack.api.opened_inputs import open_inputs
from artpack.api.sources import WeightSource
from artpack.api.tokens import TokenSource
from artpack.artifact.differences import (
    Difference,
    causes_first,
    header_differences,
    provenance_differences,
    stream_differences,
)
from artpack.artifact.header import Header
from artpack.artifact.reader import Artifact, open_artifact
from artpack.calibration.file import Calibration
from artpack.coding.profiles import profile_named
from artpack.errors import CheckpointError, RecipeError, UsageError
from artpack.models import ModelConfig
from artpack.models.find import stored_model
from artpack.pack.again import ChangedTensor, changed_tensors, codes_alike, pack_again, pack_kept
from artpack.pack.compress import Packed
from artpack.pack.origin import Options, Outcome
from artpack.pack.packer import Packer, PackInputs
from artpack.recipes import recipe_of
from artpack.recipes.spec import PlanSpec
from artpack.runners.losses import LossName
from artpack.runners.module import Forward
from artpack.runners.onnx import BatchSource
from artpack.stages import Config
from artpack.stages.progress import Progress
from artpack.system.workers import Jobs

AVERAGE = {"average": "kind", "decay": "decay"}
"""Arguments of averages, and what provenance calls them."""


@dataclass(frozen=True)
class RebuildResult:
    """
    What came out when an artifact was made again.

    Attributes:
        identical: Whether every byte is the same.
        artifact_bytes: Size of the artifact.
        rebuilt_bytes: Size of what was made; None if nothing could be made.
        differences: What is not the same, causes first: inputs, libraries, options, recipe, then
            tensors, streams and what else the header says.
        changed: Tensors whose symbols are others.
        same_coding: Whether the artifact's own symbols, coded again, give its own streams.
        kept: Tensors whose symbols were taken from the artifact.
        reason: Why nothing could be made.
    """

    identical: bool
    artifact_bytes: int
    rebuilt_bytes: int | None
    differences: tuple[Difference, ...] = ()
    changed: tuple[ChangedTensor, ...] = ()
    same_coding: bool | None = None
    kept: tuple[str, ...] = ()
    reason: str | None = None

    def to_json(self) -> Config:
        """Return all of it as JSON."""
        return {
            **vars(self),
            "differences": [vars(one) for one in self.differences],
            "changed": [vars(one) for one in self.changed],
            "kept": list(self.kept),
        }


def rebuild(
    artifact: str | os.PathLike[str],
    checkpoint: WeightSource | Sequence[str | os.PathLike[str]],
    *,
    calibration: Calibration | str | os.PathLike[str] | None = None,
    calibration_tokens: TokenSource | None = None,
    calibration_batches: BatchSource | Iterable[Any] | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    loss: LossName | None = None,
    forward: Forward | None = None,
    keep_symbols: bool = False,
    device: str | None = None,
    jobs: Jobs = None,
    max_decoded_bytes: int | None = None,
    progress: Progress | None = None,
) -> RebuildResult:
    """
    Make an artifact again from what it was made of, and compare byte for byte.

    The artifact says by which recipe and options it was made, which steps its search found, and
    how each stream is coded: it is made in one pass, and nothing is looked for.

    Args:
        artifact: What :func:`artpack.compress` or :func:`artpack.finetune` made.
        checkpoint: The weights that it was made of; a sequence of paths where they were averaged.
        calibration: What was known of the data, or its file. With ``calibration_tokens``, a file
            that is missing is written.
        calibration_tokens: Calibrate again with these tokens; those of a finetuned artifact.
        calibration_batches: Instead of tokens, batches as the model takes them.
        tokenizer: SentencePiece model of the tokens, where the model has none of its own.
        loss: What a change of the model's outputs costs, where that was a function.
        forward: Runs the model, a module, on a batch, and returns its outputs.
        keep_symbols: Take the symbols that were rounded with data from the artifact, and need no
            data: for machines whose floating point differs.
        device: Where the model runs and quantizers compute; None for where they did.
        jobs: Threads, None for one a core, or an ``artpack.Cluster``.
        max_decoded_bytes: Refuse a file whose symbols are more than this; by default
            64 MiB and 256 times its size.
        progress: Told how far it is.

    Returns:
        Whether it is identical, and what differs if not.

    Raises:
        ArtifactError: The artifact is damaged, hostile, or of another version.
        CheckpointError: The weights are not usable.
        UsageError: The artifact does not say how it was made, or data is missing.

    >>> import tempfile, torch
    >>> from artpack import compress
    >>> weights = {"fc.weight": torch.eye(64), "fc.bias": torch.zeros(64)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = compress(weights, recipe="int8", profile="fast").save(folder + "/a.artpack")
    ...     rebuild(folder + "/a.artpack", weights).identical
    True

    """
    path = Path(artifact)
    with open_artifact(path, max_decoded_bytes=max_decoded_bytes) as there:
        there.check_trailer()
        origin = _Origin.of(there, path)
        given = CompressInputs(
            source=checkpoint,
            calibration=calibration,
            calibration_tokens=calibration_tokens,
            calibration_batches=calibration_batches,
            tokenizer=tokenizer,
            loss=loss,
            forward=forward,
            device=device or origin.options.device,
            jobs=jobs,
        )
        inputs = origin.inputs(given, keep_symbols=keep_symbols)
        try:
            with open_inputs(inputs, progress) as opened:
                pack = replace(opened.pack, provenance=opened.pack.provenance | origin.carried)
                packed, kept = (
                    pack_kept(there, pack, origin.spec, progress)
                    if keep_symbols
                    else (_pack(there.header, pack, origin, progress), ())
                )
                found = _compare(there, packed, pack, path.read_bytes())
                return replace(found, kept=kept)
        except (CheckpointError, UsageError) as error:
            differing = tuple(_input_differences(there.header, inputs))
            if not differing:
                raise
            size = there.preamble.file_bytes
            return RebuildResult(
                identical=False,
                artifact_bytes=size,
                rebuilt_bytes=None,
                differences=differing,
                reason=str(error),
            )


@dataclass(frozen=True, eq=False)
class _Origin:
    """How an artifact was made, as it says itself."""

    spec: PlanSpec
    options: Options
    outcome: Outcome
    files: Mapping[str, bytes]
    model: ModelConfig | None
    provenance: Config

    @classmethod
    def of(cls, there: Artifact, path: Path) -> Self:
        """Read it out of the header, which a stranger may have written."""
        header, provenance = there.header, there.header.provenance
        recipe, asked = provenance.get("recipe"), provenance.get("options", {})
        if not isinstance(recipe, dict):
            raise UsageError(f"{path}: does not name a recipe: it was not made of a checkpoint")
        names = [tensor.name for tensor in header.plan.tensors]
        try:
            options = Options.from_json(asked, where="options")
            spec, outcome = recipe_of(recipe), Outcome.from_json(provenance, names)
            files = {name: there.files[name] for name in options.files}
        except (UsageError, RecipeError, KeyError) as error:
            by = str(provenance.get("artpack"))
            raise UsageError(
                f"{path}: made by artpack {by:.40}, and does not say well enough how: {error}"
            ) from error
        return cls(spec, options, outcome, files, stored_model(header.model), provenance)

    @property
    def carried(self) -> Config:
        """What is carried in provenance and nothing is made of."""
        return {key: value for key, value in self.provenance.items() if key == "ttt"}

    def inputs(self, given: CompressInputs, *, keep_symbols: bool) -> CompressInputs:
        """Add what the artifact says to what is given, and check that they go together."""
        calibration = self.provenance.get("calibration")
        if keep_symbols and given.has_data:
            raise UsageError("`keep_symbols` needs no data: leave it out")
        if isinstance(calibration, dict) and keep_symbols:
            # All that is known of the data is its fingerprint, which says whose it is.
            given = replace(given, calibration=Calibration({}, {}, {}, 1, calibration))
        elif calibration is not None and not given.has_data:
            raise UsageError(
                "it was made with data: give `calibration` or `calibration_tokens`, or"
                " `keep_symbols`"
            )
        elif calibration is None and given.has_data:
            raise UsageError("it was made without data: leave data out")
        asked, average = self.options, self.provenance.get("average")
        if asked.tune_steps and not given.data.given and not keep_symbols:
            raise UsageError("it has learned from data: give `calibration_tokens`")
        averaged = average if isinstance(average, dict) else {}
        learned = asked.learned_sha256 is not None and not keep_symbols
        values: dict[str, Any] = {key: averaged.get(name) for key, name in AVERAGE.items()}
        return replace(
            given,
            **values,
            key=asked.key,
            strip_prefix=asked.strip_prefix,
            include=asked.include,
            exclude=asked.exclude,
            model=self.model,
            loss=given.loss or asked.loss,
            learning=Learning(asked.tune_steps, asked.learning_loss) if learned else None,
            files=self.files,
            tokenizer_files=asked.tokenizer_files,
            dequantize=asked.dequantize,
        )


def _pack(there: Header, inputs: PackInputs, origin: _Origin, progress: Progress | None) -> Packed:
    asked = origin.options
    packer = Packer(
        inputs,
        origin.spec,
        profile_named(asked.profile),
        portable=asked.portable,
        deadline_s=asked.deadline_s,
        tune_steps=asked.tune_steps,
        progress=progress,
    )
    return pack_again(packer, inputs, there, origin.outcome)


def _compare(there: Artifact, packed: Packed, inputs: PackInputs, content: bytes) -> RebuildResult:
    """Compare what was made with what is there, byte for byte; look for causes if they differ."""
    made, header = packed.content(), there.header
    if made == content:
        return RebuildResult(identical=True, artifact_bytes=len(content), rebuilt_bytes=len(made))
    differences = header_differences(header, packed.header)
    numbers = list(range(len(header.records)))
    streams = [there.stored_stream(number) for number in numbers]
    if packed.header.plan == header.plan:
        differences += stream_differences(header.plan, streams, packed.streams)
        pairs = zip(streams, packed.streams, strict=True)
        numbers = [number for number, (one, other) in enumerate(pairs) if one != other]
    return RebuildResult(
        identical=False,
        artifact_bytes=len(content),
        rebuilt_bytes=len(made),
        differences=causes_first(differences) or (_unexplained(content, made),),
        changed=tuple(changed_tensors(there, packed, inputs.checkpoint)),
        same_coding=codes_alike(there, numbers, inputs.jobs),
    )


def _unexplained(content: bytes, made: bytes) -> Difference:
    """Name the first byte where only the compression of header or files differs."""
    pairs = enumerate(zip(content, made, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), min(len(content), len(made)))
    return Difference("header", f"byte {at}", len(content), len(made))


def _input_differences(there: Header, inputs: CompressInputs) -> Iterator[Difference]:
    """Compare the weights' files alone."""
    with inputs.open() as opened:
        here = {"source_sha256": opened.checkpoint.sha256, **opened.provenance}
    yield from provenance_differences({key: there.provenance.get(key) for key in here}, here)
