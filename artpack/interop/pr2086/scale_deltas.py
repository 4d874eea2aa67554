"""
PR 2086's scales of five-level groups, as entries of its metadata.

``scale_bits`` says how the deltas lie: 5, a byte each; 4, two a byte, the low half first;
8, a signed byte each. Scales that are not coded lie under ``scale``, in fp16.

Source: parameter-golf pull request 2086.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from artpack.errors import CorruptError
from artpack.interop.fields import as_count, as_tensor, pop
from artpack.interop.pr2086.payloads import NewPayloads, Payloads, read_plain, write_plain
from artpack.quantize.parts import join_bytes, split_bytes
from artpack.quantize.scales import Fp16Scales, LogDeltaScales, Scales
from artpack.stages.symbols import Quantized, Symbols


def read_scales(
    entry: dict[str, Any], shape: tuple[int, int], payloads: Payloads, where: str
) -> tuple[Scales, dict[str, Symbols]]:
    """
    Read the scales of a tensor.

    Args:
        entry: Its entry; the fields are taken out.
        shape: Rows and groups in a row.
        payloads: Where large values are.
        where: The tensor's name, for messages.

    Returns:
        How artpack stores them, and their parts.

    Raises:
        CorruptError: A field is missing, or they do not fit the tensor.

    """
    rows, groups = shape
    if "scale" in entry:
        plain = read_plain(pop(entry, "scale", where), payloads, f"{where}: scale", torch.float16)
        if plain.numel() != rows * groups:
            raise CorruptError(f"{where}: {plain.numel()} scales for {rows * groups} groups")
        return Fp16Scales(), split_bytes("scales", plain.reshape(shape))
    bits = as_count(pop(entry, "scale_bits", where), f"{where}: scale_bits", most=8)
    if bits not in (4, 5, 8):
        raise CorruptError(f"{where}: scales of {bits} bits")
    count = as_count(pop(entry, "scale_n_groups", where), f"{where}: scale_n_groups")
    stored = read_plain(pop(entry, "scale_delta", where), payloads, f"{where}: scale_delta")
    ends = [
        as_tensor(pop(entry, field, where), f"{where}: {field}", torch.float16)
        for field in ("scale_anchor", "scale_step")
    ]
    if count != rows * groups or any(end.numel() != 1 for end in ends):
        raise CorruptError(f"{where}: {count} scales for {rows * groups} groups")
    deltas = _unpack(stored.flatten().numpy(), bits, count, where)
    anchor_step = torch.cat([end.reshape(1) for end in ends])
    parts = {"scales": deltas.reshape(rows, groups), **split_bytes("anchor_step", anchor_step)}
    return LogDeltaScales(bits), parts


def write_scales(scales: Scales, quantized: Quantized, payloads: NewPayloads) -> dict[str, Any]:
    """
    Undo :func:`read_scales`.

    Args:
        scales: How the scales are stored.
        quantized: The tensor.
        payloads: Where to add what is large.

    Returns:
        The fields of its entry, in the exporter's order.

    """
    if not isinstance(scales, LogDeltaScales):
        plain = join_bytes("scales", quantized.parts, torch.float16)
        return {"scale": write_plain(plain.flatten(), payloads)}
    anchor, step = join_bytes("anchor_step", quantized.parts, torch.float16)
    deltas = quantized.parts["scales"].ravel()
    return {
        "scale_anchor": anchor.clone(),
        "scale_step": step.clone(),
        "scale_delta": write_plain(torch.from_numpy(_pack(deltas, scales.bits)), payloads),
        "scale_n_groups": deltas.size,
        "scale_bits": scales.bits,
    }


def _unpack(stored: NDArray[Any], bits: int, count: int, where: str) -> Symbols:
    if stored.dtype != (np.int8 if bits == 8 else np.uint8):
        raise CorruptError(f"{where}: scale_delta is {stored.dtype}")
    if stored.size != (-(-count // 2) if bits == 4 else count):
        raise CorruptError(f"{where}: {stored.size} bytes of scales for {count} groups")
    if bits == 8:
        return (stored.astype(np.int16) + 128).astype(np.uint8)
    deltas = np.stack([stored & 15, stored >> 4], axis=1).ravel() if bits == 4 else stored
    if (deltas >> bits).any() or deltas[count:].any():
        raise CorruptError(f"{where}: scale_delta has more than {bits} bits")
    return np.ascontiguousarray(deltas[:count], np.uint8)


def _pack(deltas: Symbols, bits: int) -> NDArray[Any]:
    if bits == 8:
        return (deltas.astype(np.int16) - 128).astype(np.int8)
    if bits == 5:
        return deltas.copy()
    pairs = np.zeros((-(-deltas.size // 2), 2), np.uint8)
    pairs.reshape(-1)[: deltas.size] = deltas
    pairs[:, 0] |= pairs[:, 1] << 4
    return pairs[:, 0].copy()
