"""What ``artpack compress`` has to say besides numbers, one line each."""

import math
from collections.abc import Mapping

from artpack.artifact.format import max_decoded_bytes
from artpack.checkpoint.selection import Selection
from artpack.checkpoint.source import listed
from artpack.pack.compress import Packed
from artpack.pack.prepare import Prepared
from artpack.quantize import Bf16, Fp16

MUCH = 0.1
"""Share of the weights from which on matrices in 16 bits are worth a note."""


def symbols(packed: Packed) -> int:
    """Return how many symbols an artifact decodes to."""
    tensors = packed.header.plan.tensors
    return sum(part.rows * part.cols for tensor in tensors for part in tensor.parts)


def limit_note(packed: Packed, size: int) -> list[str]:
    """Say so if an artifact of this size is not read without being trusted."""
    count = symbols(packed)
    if count <= max_decoded_bytes(size):
        return []
    return [f"so small for what it holds that reading needs --max-decoded-bytes {count}"]


def report_notes(prepared: Mapping[str, Prepared]) -> list[str]:
    """Say what quantizing did that was not asked for."""
    return [
        f"{name}: {note}"
        for name, tensor in prepared.items()
        if tensor.report is not None
        for note in tensor.report.notes
    ]


def packing_notes(packed: Packed, selection: Selection, recipe: str) -> list[str]:
    """Say what was decided on the way into the artifact."""
    notes = []
    if selection.ties:
        pairs = (f"{tie.name} = {tie.target}" for tie in selection.ties)
        notes.append(f"tied, stored once: {', '.join(pairs)}")
    if selection.banks:
        names = listed(bank.name for bank in selection.banks)
        notes.append(f"banks, stored a matrix at a time: {names}")
    notes += _wide_note(packed, recipe)
    if selection.left_out:
        notes.append(f"left out: {', '.join(selection.left_out)}")
    if packed.unused_rules:
        notes.append(f"rules of {recipe} that matched nothing: {', '.join(packed.unused_rules)}")
    if packed.unheard:
        notes.append(
            f"the deadline cut off {packed.unheard} bids: the file may be larger than need be"
        )
    return notes


def _wide_note(packed: Packed, recipe: str) -> list[str]:
    """Say so if a recipe that quantizes matrices leaves much of them in 16 bits."""
    tensors = packed.header.plan.tensors
    wide = [t for t in tensors if isinstance(t.quantizer, Fp16 | Bf16) and len(t.shape) > 1]
    weights = sum(math.prod(tensor.shape) for tensor in tensors)
    share = sum(math.prod(tensor.shape) for tensor in wide) / max(1, weights)
    if share < MUCH:
        return []
    names = listed(tensor.name for tensor in wide)
    return [f"{share:.0%} of the weights are in 16 bits, {recipe} has no other rule for {names}"]
