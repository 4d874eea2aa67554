"""The header of an artifact: what it holds, and how it is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from artpack.artifact.carried import FilesRecord, record_to_map
from artpack.artifact.plan import Member, Plan
from artpack.artifact.schema import encode_cbor
from artpack.checkpoint import Bank, Tie
from artpack.stages import Config, JsonValue, stage_to_json

T = TypeVar("T")


@dataclass(frozen=True)
class StreamRecord:
    """
    Where a stream's bytes end and what they are.

    Attributes:
        stored_bytes: Size in the file; the offset is the sum of those before.
        coded_bytes: Size between symbol coder and codec.
        checksum: Of the bytes in the file.
    """

    stored_bytes: int
    coded_bytes: int
    checksum: bytes


@dataclass(frozen=True)
class Header:
    """
    All of an artifact but the streams' bytes.

    Attributes:
        plan: Tensors and streams.
        hashes: Of each tensor's symbols, 8 bytes each.
        records: Of each stream.
        outputs: Names of the checkpoint's tensors in order; empty when they are
            the stored tensors.
        ties: Outputs that equal another output.
        banks: Outputs that are stacks of stored tensors.
        model: Configuration of the model, or None.
        provenance: Who made this from what.
        files: Files that are carried, or None.
    """

    plan: Plan
    hashes: tuple[bytes, ...]
    records: tuple[StreamRecord, ...]
    outputs: tuple[str, ...]
    ties: tuple[Tie, ...]
    banks: tuple[Bank, ...]
    model: Config | None
    provenance: Config
    files: FilesRecord | None = None

    @property
    def decoded_bytes(self) -> int:
        """Symbols of all parts, those of ties' targets again for each tie, and bytes of files."""
        sizes = {
            tensor.name: sum(part.rows * part.cols for part in tensor.parts)
            for tensor in self.plan.tensors
        }
        banks = {bank.name: sum(sizes[member] for member in bank.members) for bank in self.banks}
        tied = sum((sizes | banks)[tie.target] for tie in self.ties)
        files = 0 if self.files is None else sum(self.files.sizes)
        return sum(sizes.values()) + tied + files


def encode_header(header: Header) -> bytes:
    """
    Write a header as CBOR.

    Args:
        header: The header.

    Returns:
        Its encoding, uncompressed; equal headers give equal bytes.

    """
    tensors, streams = header.plan.tensors, header.plan.streams
    quantizers = _distinct([tensor.quantizer for tensor in tensors])
    pipelines = _distinct([stream.pipeline for stream in streams])
    value: dict[str, Any] = {
        "tensors": {
            "names": [tensor.name for tensor in tensors],
            "shapes": [list(tensor.shape) for tensor in tensors],
            "dtypes": [tensor.dtype for tensor in tensors],
            "quantizers": [quantizers[tensor.quantizer] for tensor in tensors],
            "hashes": b"".join(header.hashes),
        },
        "quantizers": [stage_to_json(quantizer) for quantizer in quantizers],
        "pipelines": [pipeline.config() for pipeline in pipelines],
        "streams": {
            "pipelines": [pipelines[stream.pipeline] for stream in streams],
            "stored_bytes": [record.stored_bytes for record in header.records],
            "coded_bytes": [record.coded_bytes for record in header.records],
            "checksums": b"".join(record.checksum for record in header.records),
            "members": [[_member(header.plan, m) for m in s.members] for s in streams],
        },
        "outputs": list(header.outputs),
        "ties": [[tie.name, tie.target] for tie in header.ties],
        "banks": [_bank(bank) for bank in header.banks],
        "model": header.model,
        "provenance": header.provenance,
    }
    if header.files is not None:
        value["files"] = record_to_map(header.files)
    return encode_cbor(value)


def _distinct(items: Sequence[T]) -> dict[T, int]:
    """Return each item once, with its place; by hash, for a stranger may send very many."""
    return {item: place for place, item in enumerate(dict.fromkeys(items))}


def _member(plan: Plan, member: Member) -> list[int]:
    if member.rows == plan.spec(member).rows:
        return [member.tensor, member.part]
    return [member.tensor, member.part, member.first_row, member.rows]


def _bank(bank: Bank) -> list[JsonValue]:
    fields: list[JsonValue] = [bank.name, list(bank.members)]
    if bank.transposed:
        return [*fields, list(bank.axes), True]
    return [*fields, list(bank.axes)] if bank.axes else fields
