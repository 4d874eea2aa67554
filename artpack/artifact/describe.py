"""
The account of an artifact's bytes, tensor by tensor.

Every byte of the file is counted once: the tensors' shares of the streams, the
preamble, the header and the trailer add up to the size of the file. Tensors that
share a stream divide its bytes in proportion to what their symbols cost under
the stream's own symbol frequencies; or, where nothing is decoded, to their number.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artpack.artifact.format import PREAMBLE_BYTES, TRAILER_BYTES
from artpack.quantize.error_report import Report
from artpack.stages.symbols import Symbols, histogram

if TYPE_CHECKING:
    from artpack.artifact.reader import Artifact


@dataclass(frozen=True)
class TensorRow:
    """
    One tensor's part of the file.

    Attributes:
        name: Of the stored tensor.
        shape: Its shape.
        weights: How many it holds.
        grid: Label of its quantizer.
        parts: Names of its parts and labels of the pipelines that code them, codes first; a part
            that lies in several streams has several.
        stored_bytes: Its share of the streams.
        entropy_bytes: Order-0 entropy of its parts, each taken alone; None if not decoded.
        histogram: How often each symbol of the codes occurs; empty if not decoded.
        report: How far it is from its weights, for tensors quantized with data.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    grid: str
    parts: tuple[tuple[str, str], ...]
    stored_bytes: int
    entropy_bytes: float | None
    histogram: tuple[int, ...]
    report: Report | None = None

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Labels of the pipelines that code its parts, each once."""
        return tuple(dict.fromkeys(label for _, label in self.parts))

    @property
    def bits_per_weight(self) -> float:
        """Stored bits for each weight; 0 for an empty tensor."""
        return 8 * self.stored_bytes / self.weights if self.weights else 0.0

    @property
    def entropy_bits_per_weight(self) -> float | None:
        """Order-0 entropy in bits for each weight, 0 for an empty tensor; None if not decoded."""
        if self.entropy_bytes is None:
            return None
        return 8 * self.entropy_bytes / self.weights if self.weights else 0.0

    @property
    def gap(self) -> float | None:
        """Stored bytes over entropy, less one; 0 where there is none; None if not decoded."""
        if self.entropy_bytes is None:
            return None
        return self.stored_bytes / self.entropy_bytes - 1 if self.entropy_bytes else 0.0

    @property
    def bound_bytes(self) -> float | None:
        """Bytes that rate-distortion theory allows for it at its error; None if unknown."""
        if self.report is None or self.report.bound_bits is None:
            return None
        return self.report.bound_bits * self.weights / 8


@dataclass(frozen=True)
class RoleRow:
    """
    The part that all tensors of one role have of the file.

    Attributes:
        name: Of the role.
        tensors: How many they are.
        weights: How many they hold.
        stored_bytes: Their share of the streams.
    """

    name: str
    tensors: int
    weights: int
    stored_bytes: int

    @property
    def bits_per_weight(self) -> float:
        """Stored bits for each weight; 0 for empty tensors."""
        return 8 * self.stored_bytes / self.weights if self.weights else 0.0


@dataclass(frozen=True, repr=False)
class Description:
    """
    Where all bytes of an artifact went.

    Attributes:
        file_bytes: Size of the file.
        tensors: In the order stored.
        overhead: Name to bytes of what belongs to no tensor.
        files: Name to size of the carried files, before they were compressed.
        shared_equally: Whether tensors of one stream have shares of its bytes by their symbols
            alone, and not by what these cost: nothing was decoded.
    """

    file_bytes: int
    tensors: tuple[TensorRow, ...]
    overhead: dict[str, int]
    files: dict[str, int] = field(default_factory=dict)
    shared_equally: bool = False

    @property
    def weights(self) -> int:
        """Number of weights of all tensors."""
        return sum(row.weights for row in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file for each weight; 0 without weights."""
        return 8 * self.file_bytes / self.weights if self.weights else 0.0

    @property
    def roles(self) -> tuple[RoleRow, ...]:
        """The tensors by role, the most bytes first."""
        roles: dict[str, list[TensorRow]] = {}
        for row in self.tensors:
            roles.setdefault(role_of(row.name), []).append(row)
        rows = (
            RoleRow(
                name,
                len(own),
                sum(row.weights for row in own),
                sum(row.stored_bytes for row in own),
            )
            for name, own in roles.items()
        )
        return tuple(sorted(rows, key=lambda row: -row.stored_bytes))

    @property
    def above_bound(self) -> float | None:
        """
        Bytes of tensors over what theory allows for them at their errors, less one.

        None if that is known of no tensor, or is nothing.
        """
        known = [(row.stored_bytes, row.bound_bytes) for row in self.tensors]
        stored = sum(size for size, bound in known if bound is not None)
        allowed = sum(bound for _, bound in known if bound is not None)
        return stored / allowed - 1 if allowed else None

    def __repr__(self) -> str:
        lines = [
            f"{row.stored_bytes:>12,}  {row.bits_per_weight:6.3f}  {row.grid:<10}  {row.name}"
            for row in self.tensors
        ]
        lines += [f"{size:>12,}{'':20}  ({name})" for name, size in self.overhead.items()]
        total = f"{self.file_bytes:>12,}  {self.bits_per_weight:6.3f}{'':12}  in all"
        return "\n".join(["       bytes    bits  grid        tensor", *lines, total])


def role_of(name: str) -> str:
    """
    Return what a tensor has in common with those whose names differ by numbers alone.

    Args:
        name: Of the tensor.

    Returns:
        The name with ``#`` for every number.

    >>> role_of("blocks.11.mlp.fc2.weight")
    'blocks.#.mlp.fc#.weight'

    """
    return re.sub(r"\d+", "#", name)


def describe(artifact: "Artifact", *, entropy: bool = True) -> Description:
    """
    Account for every byte of an artifact.

    Args:
        artifact: An open one.
        entropy: Decode all of it, for entropies and histograms.

    Returns:
        Rows and overhead that add up to the size of the file.

    Raises:
        ArtifactError: The file is damaged.

    """
    plan = artifact.header.plan
    stored = [0] * len(plan.tensors)
    labels: list[set[tuple[int, str]]] = [set() for _ in plan.tensors]
    for s, stream in enumerate(plan.streams):
        if entropy:
            costs = _costs(artifact.stream(s), plan.spec(stream.members[0]).alphabet)
        else:
            costs = [float(rows * cols) for rows, cols in plan.shapes(stream.members)]
        shares = apportion(artifact.header.records[s].stored_bytes, costs)
        for member, share in zip(stream.members, shares, strict=True):
            stored[member.tensor] += share
            labels[member.tensor].add((member.part, stream.pipeline.label))
    rows = tuple(
        _row(artifact, t, stored[t], labels[t], entropy=entropy) for t in range(len(plan.tensors))
    )
    overhead = {
        "preamble": PREAMBLE_BYTES,
        "header": artifact.preamble.header_stored_bytes,
        "trailer": TRAILER_BYTES,
    }
    record = artifact.header.files
    files = {} if record is None else dict(zip(record.names, record.sizes, strict=True))
    if record is not None:
        overhead["files"] = record.stored_bytes
    size = artifact.preamble.file_bytes
    assert sum(overhead.values()) + sum(stored) == size
    together = any(len({m.tensor for m in stream.members}) > 1 for stream in plan.streams)
    return Description(size, rows, overhead, files, together and not entropy)


def _row(
    artifact: "Artifact", t: int, stored_bytes: int, labels: set[tuple[int, str]], *, entropy: bool
) -> TensorRow:
    tensor = artifact.header.plan.tensors[t]
    counts: list[NDArray[np.int64]] = []
    if entropy:
        parts = artifact.quantized(tensor.name).parts
        counts = [histogram(parts[spec.name], spec.alphabet) for spec in tensor.parts]
    return TensorRow(
        name=tensor.name,
        shape=tensor.shape,
        weights=int(np.prod(tensor.shape, dtype=np.int64)),
        grid=tensor.quantizer.label,
        parts=tuple((tensor.parts[part].name, label) for part, label in sorted(labels)),
        stored_bytes=stored_bytes,
        entropy_bytes=sum(map(entropy_bits, counts)) / 8 if entropy else None,
        histogram=tuple(counts[0].tolist()) if entropy else (),
        report=_report(artifact, t),
    )


def _report(artifact: "Artifact", t: int) -> Report | None:
    reports = artifact.header.provenance.get("reports")
    if not isinstance(reports, list) or len(reports) != len(artifact.header.plan.tensors):
        return None
    return Report.from_json(reports[t])


def entropy_bits(counts: NDArray[np.int64]) -> float:
    """
    Order-0 entropy of a histogram.

    Args:
        counts: How often each symbol occurs.

    Returns:
        Total bits of all symbols together.

    >>> entropy_bits(np.array([2, 2, 0, 4]))
    12.0

    """
    seen = counts[counts > 0].astype(np.float64)
    return float(np.sum(seen * (np.log2(seen.sum()) - np.log2(seen)))) if seen.size else 0.0


def _costs(members: Sequence[Symbols], alphabet: int) -> list[float]:
    """Return the bits of each member under the frequencies of all of them."""
    counts = [histogram(member, alphabet) for member in members]
    total = np.sum(counts, axis=0)
    price = np.log2(max(1, total.sum())) - np.log2(np.maximum(total, 1))
    return [float(count @ price) for count in counts]


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """
    Divide a whole number in proportion, without losing any of it.

    Args:
        total: What is divided.
        weights: In which proportion; all zero means equally.

    Returns:
        Whole shares that sum to ``total``; the largest remainders get the rest.

    >>> apportion(10, [1.0, 1.0, 1.0])
    [4, 3, 3]

    """
    whole = sum(weights)
    exact = [total * w / whole if whole else total / len(weights) for w in weights]
    shares = [int(share) for share in exact]
    order = sorted(range(len(exact)), key=lambda i: (shares[i] - exact[i], i))
    for i in order[: total - sum(shares)]:
        shares[i] += 1
    return shares
