"""
A checkpoint and a recipe in, the content of an artifact out.

Tensors are read, quantized and coded group by group, so that besides the result
no more than one tensor's weights and one group's symbols a thread are in memory.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version

from artpack.artifact.carried import PackedFiles
from artpack.artifact.header import Header
from artpack.artifact.plan import Plan, StreamPlan, TensorPlan
from artpack.artifact.writer import assemble, record_stream
from artpack.checkpoint import Checkpoint
from artpack.checkpoint.selection import Selection
from artpack.coding.profiles import DEFAULT, Profile
from artpack.pack.choosing import Choosers, choose_all, choosers, code_all, estimators
from artpack.pack.grouping import group_members
from artpack.pack.kept_as_is import find_exceptions
from artpack.pack.part_pool import PartPool
from artpack.pack.prepare import Prepared
from artpack.pack.tensor_plans import plan_tensors
from artpack.recipes.spec import PlanSpec
from artpack.stages import Config
from artpack.stages.progress import Progress
from artpack.system.workers import Jobs, workers_for
from artpack.version import __version__

LIBRARIES = ("brotli", "numba", "numpy", "torch", "zpaq")
"""What has a say in the bytes; zstd is part of Python, or of a backport of it."""


@dataclass(frozen=True, eq=False)
class Packed:
    """
    The content of an artifact, and what there is to say about it.

    Attributes:
        header: All but the streams' bytes.
        streams: Their bytes.
        files: Those of carried files.
        unused_rules: Names of rules that matched no tensor.
        portable_price: How many bytes more its streams take than the smallest ones, where
            they need no library; how many more they would take, where they do.
        skipped: Candidates that a deadline cut off; 0 without one.
        prepared: The tensors that were quantized before they were packed.
    """

    header: Header
    streams: tuple[bytes, ...]
    files: bytes
    unused_rules: tuple[str, ...]
    portable_price: int
    skipped: int
    prepared: Mapping[str, Prepared]

    @cached_property
    def pieces(self) -> list[bytes]:
        """The file's content, to be written piece by piece."""
        return assemble(self.header, self.streams, self.files)

    @property
    def sha256(self) -> str:
        """Hash of all of the file but its trailer, which holds it, in hexadecimal."""
        return self.pieces[-1].hex()

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return sum(map(len, self.pieces))

    @property
    def portable(self) -> bool:
        """Whether Python's standard library and numpy are all that decoding needs."""
        return all(stream.pipeline.portable for stream in self.header.plan.streams)

    @property
    def decoded_bytes(self) -> int:
        """How many bytes the file decodes to, as its reader counts them."""
        return self.header.decoded_bytes

    def content(self) -> bytes:
        """Return the file's content as one piece."""
        return b"".join(self.pieces)


def compress(
    checkpoint: Checkpoint,
    selection: Selection,
    spec: PlanSpec,
    *,
    prepared: Mapping[str, Prepared] | None = None,
    model: Config | None = None,
    provenance: Config | None = None,
    files: PackedFiles | None = None,
    profile: Profile = DEFAULT,
    portable: bool | None = None,
    streams: Sequence[StreamPlan] | None = None,
    jobs: Jobs = None,
    deadline_s: float | None = None,
    progress: Progress | None = None,
) -> Packed:
    """
    Pack a checkpoint in memory.

    Args:
        checkpoint: Where the weights come from.
        selection: Which of them.
        spec: The recipe.
        prepared: Tensors that are stored as given here and not by their rule.
        model: Config of the model that the weights belong to, stored as it is.
        provenance: What else to store about where all this comes from.
        files: Small files that go with the weights.
        profile: How hard to look for small codings.
        portable: Whether the standard library and numpy must be all that decoding needs. None
            where that costs less than a thousandth of the streams; never in an exhaustive search.
        streams: Code these, of these very tensors, and look for nothing; None to choose.
        jobs: Threads, None for one a core, or other workers; the result does not depend on it.
        deadline_s: Stop trying candidates after this many seconds. The result then
            depends on the speed of the machine.
        progress: Told after each group.

    Returns:
        The content of the artifact. The same input gives the same bytes, unless
        a deadline cut in.

    Raises:
        CheckpointError: A weight is not finite or does not fit its grid.
        UsageError: No rule of the recipe takes a tensor, or a prepared one is not
            selected or of another shape.

    """
    deadline = None if deadline_s is None else time.time() + deadline_s
    packed = _pack(
        checkpoint,
        selection,
        spec,
        choosers(profile, portable=portable, deadline=deadline) if streams is None else streams,
        prepared=prepared,
        model=model,
        provenance=provenance,
        files=files,
        jobs=jobs,
        progress=progress,
    )
    return packed if deadline is not None else replace(packed, skipped=0)


def expected_size(
    checkpoint: Checkpoint,
    selection: Selection,
    spec: PlanSpec,
    *,
    prepared: Mapping[str, Prepared] | None = None,
    model: Config | None = None,
    provenance: Config | None = None,
    files: PackedFiles | None = None,
    profile: Profile = DEFAULT,
    portable: bool | None = None,
    jobs: Jobs = None,
    progress: Progress | None = None,
) -> int:
    """
    Tell about how large a file would be, for less work than to make it.

    Args:
        checkpoint: Where the weights come from.
        selection: Which of them.
        spec: The recipe.
        prepared: As for :func:`compress`.
        model: Likewise.
        provenance: Likewise.
        files: Likewise.
        profile: Likewise.
        portable: Likewise.
        jobs: Threads, None for one a core, or other workers; the result does not depend on it.
        progress: Told after each group.

    Returns:
        Bytes: small groups are coded; others take those of the adaptive coder or of static
        rANS, so seldom less than in the file.

    Raises:
        CheckpointError: A weight is not finite or does not fit its grid.
        UsageError: No rule of the recipe takes a tensor, or a prepared one is not
            selected or of another shape.

    """
    return _pack(
        checkpoint,
        selection,
        spec,
        estimators(profile, portable=portable),
        prepared=prepared,
        model=model,
        provenance=provenance,
        files=files,
        jobs=jobs,
        progress=progress,
    ).size_bytes


def _pack(
    checkpoint: Checkpoint,
    selection: Selection,
    spec: PlanSpec,
    using: Choosers | Sequence[StreamPlan],
    *,
    prepared: Mapping[str, Prepared] | None,
    model: Config | None,
    provenance: Config | None,
    files: PackedFiles | None,
    jobs: Jobs,
    progress: Progress | None,
) -> Packed:
    spec, _ = find_exceptions(checkpoint, selection, spec)
    given, price = prepared or {}, 0
    tensors, rules = plan_tensors(selection, spec, given)
    if isinstance(using, Choosers):
        groups = group_members(tensors, [rule is not None and rule.split_qkv for rule in rules])
        pool = PartPool(checkpoint, tensors, groups, given)
        chosen, price = choose_all(groups, pool, using, workers_for(jobs), progress)
    else:
        pool = PartPool(checkpoint, tensors, [stream.members for stream in using], given)
        chosen = code_all(using, pool, workers_for(jobs), progress)
    plain = not selection.ties and not selection.banks
    header = Header(
        plan=Plan(tensors, tuple(StreamPlan(members, one.pipeline) for members, one in chosen)),
        hashes=pool.hashes(),
        records=tuple(record_stream(one.coded) for _, one in chosen),
        outputs=() if plain else selection.outputs,
        ties=selection.ties,
        banks=selection.banks,
        model=model,
        provenance=_provenance(checkpoint, spec, tensors, given) | (provenance or {}),
        files=None if files is None else files.record,
    )
    used = {rule.name for rule in rules if rule is not None}
    return Packed(
        header,
        streams=tuple(one.coded.stored for _, one in chosen),
        files=b"" if files is None else files.stored,
        unused_rules=tuple(rule.name for rule in spec.rules if rule.name not in used),
        portable_price=price,
        skipped=sum(one.skipped for _, one in chosen),
        prepared=given,
    )


def _provenance(
    checkpoint: Checkpoint,
    spec: PlanSpec,
    tensors: Sequence[TensorPlan],
    prepared: Mapping[str, Prepared],
) -> Config:
    provenance: Config = {
        "artpack": __version__,
        "recipe": spec.to_json(),
        "source_sha256": checkpoint.sha256,
        "libraries": {name: version(name) for name in LIBRARIES},
    }
    reports = [prepared[t.name].report if t.name in prepared else None for t in tensors]
    if any(reports):
        provenance["reports"] = [None if r is None else r.to_json() for r in reports]
    return provenance
