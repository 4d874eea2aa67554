"""
Groups of parts that may share a stream.

The codes of one role across layers (``blocks.*.mlp.fc.weight``) have much the
same distribution, so they may share one frequency table; so may the small parts
of all tensors: scales, vectors. Whether they do is settled in bytes later.
"""

import re
from collections.abc import Iterator, Sequence

from artpack.artifact.plan import Member, TensorPlan
from artpack.stages.symbols import PartSpec

SMALL_SYMBOLS = 4096
"""Parts below this size are grouped by what they are, not by the tensor they belong to."""

MAX_STREAM_SYMBOLS = 1 << 22
"""Larger groups become several streams: bounded memory, and work for several cores."""

_LAYER_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")


def role(name: str) -> str:
    """
    Return a tensor's name without its layer number.

    Args:
        name: The tensor's name.

    Returns:
        The name with every all-digit component replaced.

    >>> role("blocks.11.mlp.fc.weight")
    'blocks.*.mlp.fc.weight'

    """
    return _LAYER_NUMBER.sub("*", name)


def group_members(
    tensors: Sequence[TensorPlan], split_qkv: Sequence[bool]
) -> list[tuple[Member, ...]]:
    """
    Divide all parts of all tensors into groups that may share a stream.

    Args:
        tensors: The stored tensors.
        split_qkv: For each, whether its rows are fused queries, keys and values.

    Returns:
        The groups in the order of their first member: each of one alphabet and
        at most ``MAX_STREAM_SYMBOLS`` symbols, every row of every part in one.

    """
    groups: dict[tuple[object, ...], list[Member]] = {}
    for t, (tensor, split) in enumerate(zip(tensors, split_qkv, strict=True)):
        for p, part in enumerate(tensor.parts):
            for piece, member in enumerate(_pieces(t, p, part, split=split and p == 0)):
                groups.setdefault(_key(tensor.name, part, piece), []).append(member)
    return [
        stream
        for (*_, cols), members in groups.items()
        for stream in _bounded(members, int(str(cols)))
    ]


def _key(name: str, part: PartSpec, piece: int) -> tuple[object, ...]:
    small = part.rows * part.cols < SMALL_SYMBOLS or part.cols == 1
    return ("" if small else role(name), piece, part.name, part.alphabet, part.states, part.cols)


def _pieces(tensor: int, part: int, spec: PartSpec, *, split: bool) -> Iterator[Member]:
    """Yield all rows as one member, or as queries, keys and values."""
    queries = spec.cols
    if not split or spec.rows <= queries or (spec.rows - queries) % 2:
        yield Member(tensor, part, 0, spec.rows)
        return
    half = (spec.rows - queries) // 2
    yield Member(tensor, part, 0, queries)
    yield Member(tensor, part, queries, half)
    yield Member(tensor, part, queries + half, half)


def _bounded(members: Sequence[Member], cols: int) -> Iterator[tuple[Member, ...]]:
    """Cut a group into streams of bounded size, members by rows where they are too large."""
    most_rows = max(1, MAX_STREAM_SYMBOLS // max(1, cols))
    stream: list[Member] = []
    room = most_rows
    for member in members:
        first, left = member.first_row, member.rows
        while True:
            rows = min(left, room)
            stream.append(Member(member.tensor, member.part, first, rows))
            first, left, room = first + rows, left - rows, room - rows
            if room == 0:
                yield tuple(stream)
                stream, room = [], most_rows
            if left == 0:
                break
    if stream:
        yield tuple(stream)
