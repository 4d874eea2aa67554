"""Notes of a packed file: what was decided on the way, one line each."""

import math
from collections.abc import Iterator

from artpack.artifact.format import max_decoded_bytes
from artpack.checkpoint.selection import Selection
from artpack.checkpoint.source import listed
from artpack.pack.compress import Packed
from artpack.pack.packer import PackResult
from artpack.quantize import Bf16, Fp16

MUCH = 0.1
"""Share of the weights from which on matrices in 16 bits are worth a note."""


def notes_of(result: PackResult, selection: Selection, recipe: str) -> Iterator[str]:
    """
    Say what was decided on the way into a file.

    Args:
        result: The file.
        selection: What was packed.
        recipe: Name of the recipe.

    Yields:
        One line for each decision.

    """
    yield from result.notes
    yield from _selection_notes(selection)
    packed = result.packed
    if packed.unused_rules:
        yield f"rules of {recipe} that matched nothing: {', '.join(packed.unused_rules)}"
    if packed.skipped:
        yield (
            f"the deadline skipped {packed.skipped} candidates: the file may be larger than need be"
        )
    yield from _portable_notes(packed)
    yield from _wide_notes(packed, recipe)
    for name, tensor in result.prepared.items():
        for note in () if tensor.report is None else tensor.report.notes:
            yield f"{name}: {note}"
    yield from limit_notes(packed)


def _selection_notes(selection: Selection) -> Iterator[str]:
    if selection.ties:
        pairs = (f"{tie.name} = {tie.target}" for tie in selection.ties)
        yield f"tied, stored once: {', '.join(pairs)}"
    if stacks := [bank.name for bank in selection.banks if bank.front]:
        names = listed(stacks)
        yield f"banks, stored a matrix at a time: {names}"
    if selection.left_out:
        yield f"left out: {', '.join(selection.left_out)}"


def _portable_notes(packed: Packed) -> Iterator[str]:
    """Say what it costs to be read without a library."""
    price = packed.portable_price
    if packed.portable and price > 0:
        share = price / packed.size_bytes
        yield f"portable: read without a library, for {price:,} bytes, {share:.2%} more"


def _wide_notes(packed: Packed, recipe: str) -> Iterator[str]:
    """Say so if a recipe that quantizes matrices leaves much of them in 16 bits."""
    tensors = packed.header.plan.tensors
    wide = [t for t in tensors if isinstance(t.quantizer, Fp16 | Bf16) and len(t.shape) > 1]
    weights = sum(math.prod(tensor.shape) for tensor in tensors)
    share = sum(math.prod(tensor.shape) for tensor in wide) / max(1, weights)
    if share >= MUCH:
        names = listed(tensor.name for tensor in wide)
        yield f"{share:.0%} of the weights are in 16 bits, {recipe} has no other rule for {names}"


def limit_notes(packed: Packed) -> Iterator[str]:
    """
    Say so if a file of this size is not read without being trusted.

    Args:
        packed: The file.

    Yields:
        At most one line.

    """
    needed = packed.decoded_bytes
    if needed > max_decoded_bytes(packed.size_bytes):
        yield f"so small for what it holds that reading needs `max_decoded_bytes` {needed}"
