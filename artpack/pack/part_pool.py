"""The symbols that are still needed on the way into a file."""

from collections import Counter
from collections.abc import Mapping, Sequence

from artpack.artifact.plan import Member, TensorPlan
from artpack.artifact.writer import hash_symbols
from artpack.checkpoint import Checkpoint
from artpack.coding.groups import StreamGroup
from artpack.errors import CheckpointError, UsageError
from artpack.pack.prepare import Prepared
from artpack.stages.symbols import Quantized, Symbols


class PartPool:
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

    @property
    def symbols(self) -> int:
        """Number of symbols of all parts of all tensors."""
        return sum(part.rows * part.cols for tensor in self._tensors for part in tensor.parts)

    def stream_group(self, group: Sequence[Member]) -> StreamGroup:
        """Return a group's symbols; parts are forgotten after their last member."""
        part = self._tensors[group[0].tensor].parts[group[0].part]
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
