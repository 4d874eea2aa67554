"""
An artifact made again, to be compared with the one that is there.

The pipelines of its streams are in its header, so that nothing is looked for: its symbols are
made as a search found them, in one pass, and coded as they were coded.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from artpack.artifact.header import Header
from artpack.artifact.plan import StreamPlan
from artpack.artifact.reader import Artifact
from artpack.checkpoint import Checkpoint
from artpack.coding.pipeline import Pipeline
from artpack.pack.compress import Packed, compress
from artpack.pack.kept_as_is import find_exceptions
from artpack.pack.origin import Outcome
from artpack.pack.packer import Packer, PackInputs
from artpack.pack.prepare import Prepared
from artpack.pack.tensor_plans import plan_tensors
from artpack.recipes.spec import PlanSpec
from artpack.stages.progress import Progress
from artpack.stages.symbols import Quantized, Symbols
from artpack.system.workers import Jobs, workers_for

FOLLOWED = ("options", "calibration", "reports", "log2_step", "sensitivities")
"""Keys of provenance that follow from data; with kept symbols they are what the file says."""


@dataclass(frozen=True)
class ChangedTensor:
    """
    A tensor whose symbols are others.

    Attributes:
        name: Of the stored tensor.
        changed: How many of its symbols.
        symbols: How many it has.
    """

    name: str
    changed: int
    symbols: int


def pack_again(packer: Packer, inputs: PackInputs, there: Header, outcome: Outcome) -> Packed:
    """
    Quantize and code weights as a file has them.

    Args:
        packer: Of the same options as the file's.
        inputs: What it packs.
        there: Header of the file.
        outcome: What the file's search found.

    Returns:
        The content of another file; its streams are chosen anew where its tensors are stored
        in another way.

    Raises:
        CheckpointError: A weight is not finite or does not fit its grid.
        UsageError: The recipe needs data.

    """
    prepared = packer.prepare(outcome)
    streams = _streams(there, inputs, packer.spec, prepared)
    return packer.pack(prepared, outcome, streams)


def pack_kept(
    there: Artifact, inputs: PackInputs, spec: PlanSpec, progress: Progress | None = None
) -> tuple[Packed, tuple[str, ...]]:
    """
    Do the same with those symbols of the file that floating point decided.

    Args:
        there: The file.
        inputs: What is packed; nothing is known of the data.
        spec: The recipe.
        progress: Told after each stream.

    Returns:
        The content of another file; and the names of the tensors whose symbols are the file's.

    Raises:
        ArtifactError: The file is damaged.
        CheckpointError: A weight is not finite or does not fit its grid.
        UsageError: The file's tensors are not those of the weights.

    """
    header = there.header
    spec, _ = find_exceptions(inputs.checkpoint, inputs.selection, spec)
    decided = set(_decided(header, inputs, spec))
    kept = {
        tensor.name: Prepared(tensor.quantizer, there.quantized(tensor.name))
        for tensor in header.plan.tensors
        if tensor.name in decided
    }
    followed = {key: value for key, value in header.provenance.items() if key in FOLLOWED}
    packed = compress(
        inputs.checkpoint,
        inputs.selection,
        spec,
        prepared=kept,
        model=inputs.model,
        provenance={**inputs.provenance, **followed},
        files=inputs.files,
        streams=_streams(header, inputs, spec, kept),
        jobs=inputs.jobs,
        progress=progress,
    )
    return packed, tuple(kept)


def _decided(header: Header, inputs: PackInputs, spec: PlanSpec) -> Iterator[str]:
    """Name the tensors that were quantized with more than their weights."""
    reports = header.provenance.get("reports")
    listed = reports if isinstance(reports, list) else []
    for tensor, report in zip(header.plan.tensors, listed, strict=False):
        if report is not None:
            yield tensor.name
    for info in inputs.selection.tensors:
        rule = spec.rule_of(info)
        if rule is not None and (rule.on_frontier or rule.needs_preparing):
            yield info.name


def _streams(
    there: Header, inputs: PackInputs, spec: PlanSpec, prepared: Mapping[str, Prepared]
) -> Sequence[StreamPlan] | None:
    """Return the file's streams, if they are of the same tensors."""
    tensors, _ = plan_tensors(inputs.selection, spec, prepared)
    return there.plan.streams if tensors == there.plan.tensors else None


def changed_tensors(
    there: Artifact, packed: Packed, checkpoint: Checkpoint
) -> Iterator[ChangedTensor]:
    """
    Count the symbols that are others.

    Args:
        there: The file.
        packed: What was made.
        checkpoint: Of which weights.

    Yields:
        The tensors that are stored in the same way and have other symbols.

    """
    header = packed.header
    made = dict(zip(header.plan.tensors, header.hashes, strict=True))
    for tensor, digest in zip(there.header.plan.tensors, there.header.hashes, strict=True):
        if made.get(tensor, digest) != digest:
            ours = _symbols(tensor.name, packed, checkpoint)
            theirs = there.quantized(tensor.name)
            yield ChangedTensor(tensor.name, *_count(theirs, ours))


def _symbols(name: str, packed: Packed, checkpoint: Checkpoint) -> Quantized:
    if name in packed.prepared:
        return packed.prepared[name].quantized
    tensor = next(one for one in packed.header.plan.tensors if one.name == name)
    quantized = tensor.quantizer.quantize(checkpoint.read(name))
    checkpoint.release()
    return quantized


def _count(theirs: Quantized, ours: Quantized) -> tuple[int, int]:
    pairs = [(part, ours.parts[name]) for name, part in theirs.parts.items()]
    changed = sum(int(np.count_nonzero(one != other)) for one, other in pairs)
    return changed, sum(one.size for one, _ in pairs)


def codes_alike(there: Artifact, numbers: Sequence[int], jobs: Jobs = None) -> bool:
    """
    Say whether a file's own symbols, coded again, give its own streams.

    Args:
        there: The file.
        numbers: Which streams.
        jobs: Who codes.

    Returns:
        Whether they do; if so, other bytes come from other symbols.

    Raises:
        ArtifactError: The file is damaged.

    """
    plan = there.header.plan
    tasks = (
        (
            plan.streams[number].pipeline,
            there.stream(number),
            plan.spec(plan.streams[number].members[0]).alphabet,
            there.stored_stream(number),
        )
        for number in numbers
    )
    return all(list(workers_for(jobs).map(_codes_to, tasks)))


def _codes_to(pipeline: Pipeline, parts: Sequence[Symbols], alphabet: int, stored: bytes) -> bool:
    return pipeline.encode(parts, alphabet=alphabet).stored == stored
