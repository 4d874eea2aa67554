"""
The decoder of a header that a stranger wrote.

Everything that can be checked without the streams is checked here, before
anything is allocated for them.
"""

import math
from itertools import accumulate
from typing import Any

from artpack.artifact import format as fmt
from artpack.artifact.carried import read_record
from artpack.artifact.header import Header, StreamRecord, encode_header
from artpack.artifact.plan import Member, Plan, StreamPlan, TensorPlan
from artpack.artifact.schema import (
    as_digests,
    as_json,
    as_list,
    as_map,
    as_text,
    as_uint,
    decode_cbor,
)
from artpack.checkpoint import Bank, Tie
from artpack.coding.pipeline import Pipeline
from artpack.errors import CorruptError, UsageError
from artpack.quantize import QUANTIZERS, Raw
from artpack.stages import Quantizer, stage_from_json
from artpack.stages.dtypes import BYTES, GRIDDED

HEADER_KEYS = (
    "tensors",
    "quantizers",
    "pipelines",
    "streams",
    "outputs",
    "ties",
    "banks",
    "model",
    "provenance",
)


def decode_header(data: bytes) -> Header:
    """
    Read a header and check everything that can be checked without the streams.

    Args:
        data: CBOR from a stranger.

    Returns:
        The header; its members cover every part exactly once.

    Raises:
        CorruptError: The header contradicts itself or the format.
        UnknownStageError: It names a stage that this artpack does not have.

    """
    value = decode_cbor(data)
    files = read_record(value.pop("files")) if "files" in value else None
    as_map(value, "header", HEADER_KEYS)
    try:
        quantizers = [
            stage_from_json(QUANTIZERS, as_json(item, "quantizer"))
            for item in as_list(value["quantizers"], "quantizers")
        ]
        pipelines = [
            Pipeline.from_config(as_map(as_json(item, "pipeline"), "pipeline"))
            for item in as_list(value["pipelines"], "pipelines")
        ]
        tensors, hashes = _read_tensors(value["tensors"], quantizers)
    except UsageError as error:
        raise CorruptError(f"the header's plan is impossible: {error}") from error
    streams, records = _read_streams(value["streams"], tensors, pipelines)
    plan = Plan(tensors, streams)
    check_coverage(plan)
    outputs, ties, banks = _read_outputs(value, tensors)
    model = None if value["model"] is None else as_map(as_json(value["model"], "model"), "model")
    provenance = as_map(as_json(value["provenance"], "provenance"), "provenance")
    header = Header(plan, hashes, records, outputs, ties, banks, model, provenance, files)
    if encode_header(header) != data:
        raise CorruptError("the header says something in more words than it takes")
    return header


def _read_tensors(
    value: object, quantizers: list[Quantizer]
) -> tuple[tuple[TensorPlan, ...], tuple[bytes, ...]]:
    columns = as_map(value, "tensors", ("names", "shapes", "dtypes", "quantizers", "hashes"))
    names = [as_text(name, "tensor name") for name in as_list(columns["names"], "names")]
    count = len(names)
    if len(set(names)) != count:
        raise CorruptError("two tensors have the same name")
    shapes = as_list(columns["shapes"], "shapes", length=count)
    dtypes = as_list(columns["dtypes"], "dtypes", length=count)
    indices = as_list(columns["quantizers"], "tensor quantizers", length=count)
    hashes = as_digests(columns["hashes"], "hashes", count=count, size=fmt.CHECKSUM_BYTES)
    tensors = tuple(
        TensorPlan(
            name,
            _read_shape(shape, name),
            _read_dtype(dtype, name),
            quantizers[as_uint(index, f"quantizer of {name!r}", below=len(quantizers))],
        )
        for name, shape, dtype, index in zip(names, shapes, dtypes, indices, strict=True)
    )
    for tensor in tensors:
        _check_dtype(tensor)
    return tensors, tuple(hashes)


def _check_dtype(tensor: TensorPlan) -> None:
    """Check that what the quantizer gives can become the tensor's dtype."""
    if isinstance(tensor.quantizer, Raw):
        fits = tensor.quantizer.dtype == tensor.dtype
    else:
        fits = tensor.dtype in GRIDDED
    if not fits:
        raise CorruptError(f"{tensor.name!r}: {tensor.quantizer.label} is no {tensor.dtype}")


def _read_shape(value: object, name: str) -> tuple[int, ...]:
    sizes = as_list(value, f"shape of {name!r}")
    shape = tuple(as_uint(size, f"dimension of {name!r}") for size in sizes)
    if fault := fmt.shape_fault(shape):
        raise CorruptError(f"{name!r}: {fault}")
    return shape


def _read_dtype(value: object, name: str) -> str:
    dtype = as_text(value, f"dtype of {name!r}")
    if dtype not in BYTES:
        raise CorruptError(f"{name!r} has the unknown dtype {dtype!r}")
    return dtype


def _read_streams(
    value: object, tensors: tuple[TensorPlan, ...], pipelines: list[Pipeline]
) -> tuple[tuple[StreamPlan, ...], tuple[StreamRecord, ...]]:
    keys = ("pipelines", "stored_bytes", "coded_bytes", "checksums", "members")
    columns = as_map(value, "streams", keys)
    lists = [as_list(columns[key], key) for key in keys if key != "checksums"]
    count = len(lists[0])
    digests = as_digests(columns["checksums"], "checksums", count=count, size=fmt.CHECKSUM_BYTES)
    rows = zip(*(as_list(column, "stream column", length=count) for column in lists), strict=True)
    streams, records = [], []
    _check_counts(sum(len(as_list(members, "members")) for members in lists[-1]), tensors)
    for (pipeline, stored, coded, members), digest in zip(rows, digests, strict=True):
        index = as_uint(pipeline, "pipeline of a stream", below=len(pipelines))
        read = tuple(_read_member(m, tensors) for m in as_list(members, "members"))
        streams.append(StreamPlan(read, pipelines[index]))
        stored_bytes = as_uint(stored, "stored_bytes")
        records.append(StreamRecord(stored_bytes, as_uint(coded, "coded_bytes"), digest))
    return tuple(streams), tuple(records)


def _check_counts(members: int, tensors: tuple[TensorPlan, ...]) -> None:
    """Check that there may be a member for each part, before all parts are made."""
    if members > fmt.MAX_MEMBERS:
        raise CorruptError(f"the streams have more than {fmt.MAX_MEMBERS} members")
    parts = accumulate(len(tensor.parts) for tensor in tensors)
    if any(count > members for count in parts):
        raise CorruptError(f"some rows are in no stream: {members} members are fewer than parts")


def _read_member(value: object, tensors: tuple[TensorPlan, ...]) -> Member:
    numbers = as_list(value, "member")
    if len(numbers) not in (2, 4):
        raise CorruptError(f"a member has 2 or 4 numbers, not {len(numbers)}")
    tensor = as_uint(numbers[0], "tensor of a member", below=len(tensors))
    parts = tensors[tensor].parts
    part = as_uint(numbers[1], "part of a member", below=len(parts))
    if len(numbers) == 2:
        return Member(tensor, part, 0, parts[part].rows)
    first = as_uint(numbers[2], "first row of a member", below=parts[part].rows)
    rows = as_uint(numbers[3], "rows of a member", below=parts[part].rows - first + 1)
    return Member(tensor, part, first, rows)


def check_coverage(plan: Plan) -> None:
    """
    Check that the members cover every row of every part once, each stream in one alphabet.

    Args:
        plan: Tensors and streams.

    Raises:
        CorruptError: A row is missing or there twice, or alphabets are mixed.

    """
    covered: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for stream in plan.streams:
        if len({plan.spec(member).alphabet for member in stream.members}) != 1:
            raise CorruptError("a stream must have members, all of one alphabet")
        for member in stream.members:
            span = (member.first_row, member.first_row + member.rows)
            covered.setdefault((member.tensor, member.part), []).append(span)
    for t, tensor in enumerate(plan.tensors):
        for p, part in enumerate(tensor.parts):
            _check_spans(f"{part.name} of {tensor.name!r}", covered.get((t, p), []), part.rows)


def _check_spans(what: str, spans: list[tuple[int, int]], rows: int) -> None:
    if not spans or (len(spans) > 1 and any(first == last for first, last in spans)):
        raise CorruptError(f"no rows of {what} in a stream")
    end = 0
    for first, last in sorted(spans):
        if first != end:
            raise CorruptError(f"rows of {what} overlap or have a gap")
        end = last
    if end != rows:
        raise CorruptError(f"{end} of {rows} rows of {what}")


def _read_outputs(
    value: dict[str, Any], tensors: tuple[TensorPlan, ...]
) -> tuple[tuple[str, ...], tuple[Tie, ...], tuple[Bank, ...]]:
    outputs = tuple(as_text(name, "output") for name in as_list(value["outputs"], "outputs"))
    ties = tuple(
        Tie(*(as_text(name, "tie") for name in as_list(pair, "tie", length=2)))
        for pair in as_list(value["ties"], "ties")
    )
    banks = [_read_bank(bank) for bank in as_list(value["banks"], "banks")]
    _check_outputs(outputs, ties, banks, tensors)
    return outputs, ties, tuple(banks)


def _read_bank(value: object) -> Bank:
    fields = as_list(value, "bank")
    if not 2 <= len(fields) <= 4 or fields[3:] not in ([], [True]):
        raise CorruptError(f"a bank has {len(fields)} fields")
    members = tuple(as_text(member, "bank member") for member in as_list(fields[1], "bank"))
    transposed = len(fields) == 4
    axes = _read_axes(fields[2], len(members), least=0 if transposed else 2) if fields[2:] else ()
    return Bank(as_text(fields[0], "bank"), members, axes, transposed)


def _read_axes(value: object, members: int, *, least: int) -> tuple[int, ...]:
    """Read the axes of a bank: left out where there is one, but for transposed banks."""
    sizes = _read_shape(value, "a bank")
    if len(sizes) < least or math.prod(sizes) != members:
        raise CorruptError(f"a bank has the axes {list(sizes)} for {members} slices")
    return sizes


def _check_outputs(
    outputs: tuple[str, ...],
    ties: tuple[Tie, ...],
    banks: list[Bank],
    tensors: tuple[TensorPlan, ...],
) -> None:
    stored = {tensor.name: tensor for tensor in tensors}
    if not ties and not banks:
        if outputs:
            raise CorruptError("outputs are listed though there are neither ties nor banks")
        return
    inside = [member for bank in banks for member in bank.members]
    members = set(inside)
    for bank in banks:
        kinds = {(stored[m].shape, stored[m].dtype) for m in bank.members if m in stored}
        known = all(member in stored for member in bank.members)
        named = bank.name in stored and bank.members != (bank.name,)
        flat = any(len(shape) != 2 for shape, _ in kinds) and bank.transposed
        if not bank.members or len(kinds) != 1 or not known or named or flat:
            raise CorruptError(f"bank {bank.name!r} is not a stack of stored tensors")
        if bank.members == (bank.name,) and bank.front:
            raise CorruptError(f"bank {bank.name!r} is a stack of itself")
    made = [name for name in stored if name not in members] + [bank.name for bank in banks]
    targets = set(made)
    names = [*made, *(tie.name for tie in ties)]
    if any(tie.target not in targets for tie in ties) or len(members) != len(inside):
        raise CorruptError("a tie or a bank refers to something that is not there")
    if len(set(names)) != len(names) or sorted(names) != sorted(outputs):
        raise CorruptError("the outputs are not the stored tensors, banks and ties")
