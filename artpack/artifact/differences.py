"""What one artifact says otherwise than another that should be the same."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from artpack.artifact.header import Header
from artpack.artifact.plan import Plan, TensorPlan
from artpack.stages import Config, JsonValue, stage_to_json

Kind: TypeAlias = Literal["input", "library", "option", "recipe", "tensor", "stream", "header"]

KINDS: dict[str, Kind] = {
    "source_sha256": "input",
    "average": "input",
    "calibration": "input",
    "artpack": "library",
    "libraries": "library",
    "options": "option",
    "log2_step": "option",
    "sensitivities": "option",
    "ttt": "option",
    "recipe": "recipe",
}
"""Keys of provenance, causes first; all others are what followed."""


@dataclass(frozen=True)
class Difference:
    """
    One thing that is not the same.

    Attributes:
        kind: What it is: an input, a library, ...; what is the cause of others comes first.
        where: Path of a header's key, or name of a tensor or stream.
        there: What the file has; None for nothing.
        here: What was made.
    """

    kind: Kind
    where: str
    there: JsonValue
    here: JsonValue


def header_differences(there: Header, here: Header) -> list[Difference]:
    """
    Compare all of two headers but hashes and the directory of streams.

    Args:
        there: What the file has.
        here: What was made.

    Returns:
        The differences.

    """
    names = [tensor.name for tensor in there.plan.tensors]
    found = list(provenance_differences(there.provenance, here.provenance, names))
    found += tensor_differences(there.plan.tensors, here.plan.tensors)
    for key in ("model", "files", "outputs", "ties", "banks"):
        one, other = getattr(there, key), getattr(here, key)
        if key == "model":
            found += _walk("model", one, other, "header")
        elif one != other:
            found.append(Difference("header", key, str(one), str(other)))
    return found


def causes_first(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """
    Sort what differs by what it is.

    Args:
        differences: In any order.

    Returns:
        Inputs, libraries, options, the recipe, tensors, streams, and what else headers say; those
        of one kind in the order given.

    """
    order = (*KINDS.values(), "tensor", "stream", "header")
    return tuple(sorted(differences, key=lambda one: order.index(one.kind)))


def provenance_differences(
    there: Config, here: Config, names: Sequence[str] = ()
) -> Iterator[Difference]:
    """
    Compare provenance.

    Args:
        there: What the file has.
        here: What was made.
        names: Of the stored tensors, for what is said of each.

    Yields:
        The differences, causes first.

    """
    for key in dict.fromkeys((*KINDS, *sorted(there), *sorted(here))):
        each = names if key in ("reports", "sensitivities") else ()
        yield from _walk(key, there.get(key), here.get(key), KINDS.get(key, "header"), each)


def tensor_differences(
    there: Sequence[TensorPlan], here: Sequence[TensorPlan]
) -> Iterator[Difference]:
    """
    Compare what tensors are stored as.

    Args:
        there: What the file has.
        here: What was made.

    Yields:
        A difference for each tensor that only one has, or that is stored in another way.

    """
    one, other = ({tensor.name: _stated(tensor) for tensor in each} for each in (there, here))
    for name in dict.fromkeys((*one, *other)):
        yield from _walk(name, one.get(name), other.get(name), "tensor")
    if not one.keys() ^ other.keys() and list(one) != list(other):
        yield Difference("tensor", "order", list(one), list(other))


def _stated(tensor: TensorPlan) -> Config:
    quantizer = stage_to_json(tensor.quantizer)
    return {"shape": list(tensor.shape), "dtype": tensor.dtype, "quantizer": quantizer}


def stream_differences(
    plan: Plan, there: Sequence[bytes], here: Sequence[bytes]
) -> Iterator[Difference]:
    """
    Compare streams of one plan.

    Args:
        plan: Says whose they are.
        there: What the file has.
        here: What was made.

    Yields:
        A difference for each stream that is another, with its sizes and the first byte.

    """
    for number, (one, other) in enumerate(zip(there, here, strict=True)):
        if one != other:
            at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), -1)
            at = min(len(one), len(other)) if at < 0 else at
            where = f"{stream_name(plan, number)}, byte {at}"
            yield Difference("stream", where, len(one), len(other))


def stream_name(plan: Plan, number: int) -> str:
    """
    Name a stream by what is in it.

    Args:
        plan: Its plan.
        number: Its place in the directory.

    Returns:
        Its place, its first part and that part's tensor, and how many more there are.

    """
    members = plan.streams[number].members
    first = plan.tensors[members[0].tensor]
    more = f" and {len(members) - 1} more" if len(members) > 1 else ""
    return f"stream {number}, {first.parts[members[0].part].name} of {first.name}{more}"


def _walk(
    path: str, there: JsonValue, here: JsonValue, kind: Kind, names: Sequence[str] = ()
) -> Iterator[Difference]:
    """Go down to what differs, along keys and places of lists; these may have names."""
    if there == here:
        return
    if path in ("calibration.artpack", "calibration.libraries"):
        kind = "library"
    if isinstance(there, dict) and isinstance(here, dict):
        for key in sorted(there.keys() | here.keys()):
            yield from _walk(f"{path}.{key}", there.get(key), here.get(key), kind)
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for place, (one, other) in enumerate(zip(there, here, strict=True)):
            if names and one != other:
                yield Difference(kind, f"{path}.{names[place]}", one, other)
            else:
                yield from _walk(f"{path}.{place}", one, other, kind)
    else:
        yield Difference(kind, path, there, here)
