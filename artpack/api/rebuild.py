"""The job of ``artpack.rebuild``: an artifact made again from its checkpoint, and compared."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from artpack.api.inputs import CompressInputs
from artpack.api.opened_inputs import open_inputs
from artpack.api.origin import Origin
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
from artpack.errors import CheckpointError, UsageError
from artpack.pack.again import ChangedTensor, changed_tensors, codes_alike, pack_again, pack_kept
from artpack.pack.compress import Packed
from artpack.pack.packer import Packer, PackInputs
from artpack.runners.losses import LossName
from artpack.runners.module import Forward
from artpack.runners.onnx import BatchSource
from artpack.stages import Config
from artpack.stages.progress import Progress
from artpack.system.workers import Jobs


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
        origin = Origin.of(there, path)
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


def _pack(there: Header, inputs: PackInputs, origin: Origin, progress: Progress | None) -> Packed:
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
