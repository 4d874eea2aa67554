"""
A checkpoint and a recipe in, the content of an artifact out.

Tensors are read, quantized and coded group by group, so that besides the result
no more than one tensor's weights and one group's symbols a thread are in memory.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from importlib.metadata import version
from itertools import islice
from threading import Lock

from artpack.artifact.carried import PackedFiles
from artpack.artifact.header import Header
from artpack.artifact.plan import Member, Plan, StreamPlan, TensorPlan
from artpack.artifact.writer import assemble, hash_symbols, record_stream
from artpack.checkpoint import Checkpoint, TensorInfo
from artpack.checkpoint.selection import Selection
from artpack.coding.codecs import Stored
from artpack.coding.groups import StreamGroup
from artpack.coding.layouts import Rows
from artpack.coding.pipeline import Coded, Pipeline
from artpack.coding.profiles import DEFAULT, Profile
from artpack.coding.search import STREAM_ENTRY_BYTES, Choice, choose, expected_bytes
from artpack.coding.symbol_coders import Rans
from artpack.errors import CheckpointError, UsageError
from artpack.pack.grouping import group_members
from artpack.pack.kept_as_is import find_exceptions
from artpack.pack.prepare import Prepared
from artpack.quantize import Raw
from artpack.recipes.rules import Rule
from artpack.recipes.spec import PlanSpec
from artpack.stages import Config, Quantizer
from artpack.stages.progress import Progress, counter
from artpack.stages.symbols import Quantized, Symbols
from artpack.system.workers import Workers
from artpack.version import __version__

LIBRARIES = ("brotli", "numba", "numpy", "torch", "zpaq")
"""What has a say in the bytes; zstd is part of Python, or of a backport of it."""


Chosen = list[tuple[StreamGroup, Choice]]
"""The streams that a group becomes, each with its pipeline and bytes."""

Chooser = Callable[[StreamGroup], Chosen]

MembersChoice = tuple[tuple[Member, ...], Choice]

PORTABLE_SHARE = 1e-3
"""Of its bytes a file may spend so many on being read without a library, unless it must."""


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
    jobs: int | None = None,
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
        jobs: Number of threads, None for one a core; the result does not depend on it.
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
        _Choosers(
            partial(choose, profile=profile, deadline=deadline),
            partial(choose, profile=profile.portable(), deadline=deadline),
            _portable_share(profile, portable=portable),
        ),
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
    jobs: int | None = None,
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
        jobs: Number of threads, None for one a core; the result does not depend on it.
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
        _Choosers(
            partial(_stand_in, profile=profile),
            partial(_stand_in, profile=profile.portable()),
            _portable_share(profile, portable=portable),
        ),
        prepared=prepared,
        model=model,
        provenance=provenance,
        files=files,
        jobs=jobs,
        progress=progress,
    ).size_bytes


@dataclass(frozen=True)
class _Choosers:
    """
    How groups are coded: in the fewest bytes, and without libraries.

    ``share`` of the bytes are spent on the latter, and no more.
    """

    smallest: Chooser
    portable: Chooser | None = None
    share: float = 0.0


def _portable_share(profile: Profile, *, portable: bool | None) -> float:
    """Return how much of its streams a file may spend on being portable."""
    if portable is None:
        return 0.0 if profile.exhaustive else PORTABLE_SHARE
    return math.inf if portable else 0.0


def _stand_in(group: StreamGroup, profile: Profile) -> Chosen:
    if group.states == 1 and not group.large:
        return choose(group, profile)
    size = expected_bytes(group)
    return [(group, Choice(Pipeline(Rows(), Rans(), Stored()), Coded(bytes(size), size), 0))]


def _pack(
    checkpoint: Checkpoint,
    selection: Selection,
    spec: PlanSpec,
    choosers: "_Choosers",
    *,
    prepared: Mapping[str, Prepared] | None,
    model: Config | None,
    provenance: Config | None,
    files: PackedFiles | None,
    jobs: int | None,
    progress: Progress | None,
) -> Packed:
    spec, _ = find_exceptions(checkpoint, selection, spec)
    given = _checked(prepared or {}, selection)
    rules = [_rule(spec, info, given) for info in selection.tensors]
    tensors = tuple(
        _tensor_plan(info, rule, given.get(info.name))
        for info, rule in zip(selection.tensors, rules, strict=True)
    )
    groups = group_members(tensors, [rule is not None and rule.split_qkv for rule in rules])
    pool = _PartPool(checkpoint, tensors, groups, given)
    workers = Workers(jobs)
    smallest, others = _choose(groups, pool, choosers, workers, progress)
    price = _stored_bytes(others) - _stored_bytes(smallest)
    chosen = others if price <= choosers.share * _stored_bytes(smallest) else smallest
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


def _choose(
    groups: Sequence[tuple[Member, ...]],
    pool: "_PartPool",
    choosers: "_Choosers",
    workers: Workers,
    progress: Progress | None,
) -> tuple[list[MembersChoice], list[MembersChoice]]:
    """Choose for each group; return each stream's members with its choice, twice."""
    advance = counter("packing", pool.symbols, progress)

    def choose_for(group: tuple[Member, ...]) -> tuple[list[MembersChoice], list[MembersChoice]]:
        symbols = pool.stream_group(group)
        smallest = others = choosers.smallest(symbols)
        if choosers.portable and not all(one.pipeline.portable for _, one in smallest):
            others = choosers.portable(symbols)
        advance(symbols.symbols)
        return _with_members(group, smallest), _with_members(group, others)

    each = workers.run(choose_for, [(group,) for group in groups])
    smallest, others = ([one for pair in each for one in pair[i]] for i in (0, 1))
    return smallest, others


def _with_members(group: tuple[Member, ...], chosen: Chosen) -> list[MembersChoice]:
    members = iter(group)
    return [(tuple(islice(members, len(part.parts))), one) for part, one in chosen]


def _stored_bytes(chosen: Sequence[MembersChoice]) -> int:
    return sum(len(one.coded.stored) + STREAM_ENTRY_BYTES for _, one in chosen)


def _checked(prepared: Mapping[str, Prepared], selection: Selection) -> Mapping[str, Prepared]:
    shapes = {info.name: info.shape for info in selection.tensors}
    for name, tensor in prepared.items():
        if shapes.get(name) != tensor.quantized.shape:
            raise UsageError(
                f"{name!r} is prepared with the shape {tensor.quantized.shape},"
                f" the selection has {shapes.get(name, 'no such tensor')}"
            )
    return prepared


def _rule(spec: PlanSpec, info: TensorInfo, prepared: Mapping[str, Prepared]) -> Rule | None:
    """Return the tensor's rule; None for what is stored as it is: integers and 8-bit floats."""
    if not info.dtype.is_floating_point or info.dtype.itemsize == 1:
        return None
    rule = spec.rule_of(info)
    if info.name in prepared:
        return rule
    if rule is None:
        raise UsageError(
            f"recipe {spec.name!r} has no rule for {info.name!r} {list(info.shape)}:"
            " end it with a rule that takes every tensor"
        )
    if rule.needs_preparing or rule.on_frontier:
        raise UsageError(
            f"rule {rule.name!r} of {spec.name!r} quantizes with more than weights:"
            f" {info.name!r} must be prepared first"
        )
    return rule


def _tensor_plan(info: TensorInfo, rule: Rule | None, prepared: Prepared | None) -> TensorPlan:
    dtype = str(info.dtype).removeprefix("torch.")
    quantizer: Quantizer
    if prepared is not None:
        quantizer = prepared.quantizer
    else:
        quantizer = Raw.of(dtype) if rule is None or rule.quantizer is None else rule.quantizer
    return TensorPlan(info.name, info.shape, dtype, quantizer)


class _PartPool:
    """The symbols that are still needed; a tensor is read and quantized when first asked for."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        tensors: Sequence[TensorPlan],
        groups: Sequence[Sequence[Member]],
        prepared: Mapping[str, Prepared],
    ) -> None:
        self._checkpoint = checkpoint
        self._prepared = prepared
        self._tensors = tensors
        self._uses = Counter((m.tensor, m.part) for group in groups for m in group)
        self._parts: dict[tuple[int, int], Symbols] = {}
        self._hashes: dict[int, bytes] = {}
        self._lock = Lock()

    @property
    def symbols(self) -> int:
        """Number of symbols of all parts of all tensors."""
        return sum(part.rows * part.cols for tensor in self._tensors for part in tensor.parts)

    def stream_group(self, group: Sequence[Member]) -> StreamGroup:
        """Return a group's symbols; parts are forgotten after their last member."""
        part = self._tensors[group[0].tensor].parts[group[0].part]
        with self._lock:
            members = tuple(self._take(member) for member in group)
        return StreamGroup(members, part.alphabet, part.states)

    def _take(self, member: Member) -> Symbols:
        key = (member.tensor, member.part)
        if member.tensor not in self._hashes:
            self._quantize(member.tensor)
        rows = self._parts[key][member.first_row : member.first_row + member.rows]
        self._uses[key] -= 1
        if not self._uses[key]:
            del self._parts[key]
        return rows

    def _quantize(self, t: int) -> None:
        tensor = self._tensors[t]
        if tensor.name in self._prepared:
            quantized = self._prepared[tensor.name].quantized
        else:
            quantized = self._by_rule(tensor)
        self._hashes[t] = hash_symbols(quantized)
        for p, part in enumerate(tensor.parts):
            self._parts[t, p] = quantized.parts[part.name]

    def _by_rule(self, tensor: TensorPlan) -> Quantized:
        try:
            quantized = tensor.quantizer.quantize(self._checkpoint.read(tensor.name))
        except UsageError as error:
            raise CheckpointError(f"tensor {tensor.name!r}: {error}") from error
        self._checkpoint.release()
        return quantized

    def hashes(self) -> tuple[bytes, ...]:
        """Return each tensor's hash; all have been taken by now."""
        return tuple(self._hashes[t] for t in range(len(self._tensors)))


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
