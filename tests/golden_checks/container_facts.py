"""What ``artifact.json`` says, which every system says in its own words."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from artpack.interop import Container, per_group, per_stream
from artpack.interop.archive import read_archive
from artpack.interop.codes import codes_and_scales
from artpack.interop.fields import as_dict
from artpack.interop.gptq_entries import write_entries
from artpack.interop.wrapping import Allowance, decode_brotli, decode_lrzip
from artpack.quantize import RowInt
from tests.golden_checks.case import Case

Hashes = Iterator[tuple[str, torch.dtype | None, dict[str, str]]]
Comparisons = Iterator[tuple[str, Any, Any]]
FP32 = torch.float32
PLENTY = 1 << 32


def tensor_hashes(case: Case, file: str, facts: dict[str, Any]) -> Hashes:
    """
    Give the hashes of decoded tensors.

    Args:
        case: The case.
        file: The container in it.
        facts: What ``artifact.json`` says.

    Yields:
        What they are of, the type to decode to (None for the container's own), and
        name to hash of the tensor as fp32.

    """
    if case.system in PER_TENSOR:
        for which, dtype, key in PER_TENSOR[case.system]:
            yield which, dtype, {n: tensor[key] for n, tensor in facts["tensors"].items()}
    elif case.system == "pr826":
        pruned = facts.get("forced_selective_pruning") or {}
        own = pruned if pruned.get("file") == file else facts
        yield "fp32", FP32, own["decoded_tensor_sha256_fp32"]
        if own is facts:
            yield "bf16", None, facts["decoded_tensor_sha256_bf16_template_then_fp32"]
    elif case.system == "pr1934":
        yield "fp32", FP32, facts["decoded_tensor_sha256_fp32"]
        yield "fp32, in banks", FP32, facts["rebanked_tensor_sha256_fp32"]
        yield "bf16", None, {"tok_emb.weight": facts["tok_emb_sha256_if_template_is_bf16"]}
    elif "quant.json" in case:
        tensors = json.loads((case.folder / "quant.json").read_text())["tensors"]
        hashes = {n: t["dequant_sha256_fp32"] for n, t in tensors.items()}
        yield "fp32", FP32, hashes


PER_TENSOR: dict[str, tuple[tuple[str, torch.dtype | None, str], ...]] = {
    "pr2086": (
        ("fp32", FP32, "sha256_f32_of_fp32_dequant"),
        ("bf16", None, "sha256_f32_of_default_bf16_dequant"),
    ),
    "pr576": (
        ("fp32", FP32, "sha256_f32"),
        ("bf16", None, "sha256_f32_with_published_template_dtype"),
    ),
    "pr1123": (("fp32", FP32, "sha256_f32"),),
}
"""System to what is said of each tensor."""

ENTRIES = {
    ("pr826", "artifact.bin"): ("payload_sha256",),
    ("pr826", "artifact_pruned.bin"): ("forced_selective_pruning", "payload_q_sha256"),
    ("pr1934", "artifact.bin"): ("decoded_int8_sha256",),
}
"""System and file to where the hashes of single entries are."""


def entry_hashes(case: Case, file: str, facts: dict[str, Any]) -> dict[str, str]:
    """Return name to hash of entries as they lie in the archive, as far as they are known."""
    found: Any = facts
    for key in ENTRIES.get((case.system, file), ("none",)):
        found = found.get(key, {})
    return dict(found)


def entries(container: Container) -> dict[str, str]:
    """Return name to hash of the entries that codes, scales and plain tensors become."""
    found: dict[str, Tensor] = {}
    for tensor in container.tensors:
        if isinstance(tensor.quantizer, RowInt):
            found[f"{tensor.name}.q"], found[f"{tensor.name}.scale"] = codes_and_scales(tensor)
        else:
            found |= write_entries([tensor])[0]
    return {name: _hash(entry.contiguous().numpy().tobytes()) for name, entry in found.items()}


def check_facts(system: str, file: str, content: bytes, facts: dict[str, Any]) -> Comparisons:
    """
    Compare the bytes of a file, and of the streams in it, with what is said of them.

    Args:
        system: The case's system.
        file: The container.
        content: Its bytes.
        facts: What ``artifact.json`` says.

    Yields:
        What was compared, what is there, and what should be.

    """
    forced = facts.get("forced_selective_pruning") or {}
    own = facts.get("variants", {}).get(file) or (forced if forced.get("file") == file else facts)
    for key, got in (("bytes", len(content)), ("sha256", _hash(content))):
        if key in own:
            yield key, got, own[key]
    if "payloads" in own:
        yield "payloads", _payloads(content), own["payloads"]
    if system == "pr1934" and own:
        yield from _compare_groups(content, own)
    if system == "pr1123":
        streams = as_dict(read_archive(content), file)["rans_data"]
        hashes = {name: _hash(stream.numpy().tobytes()) for name, stream in streams.items()}
        yield "rans", hashes, {name: fact["sha256"] for name, fact in facts["rans"].items()}


def _payloads(content: bytes) -> list[dict[str, Any]]:
    """Describe the payloads of a per-stream container."""
    names = {per_stream.XZ: "lzma", per_stream.LRZIP: "lrzip"}
    found = []
    for method, body in per_stream.split(content)[1]:
        raw = per_stream.METHODS[method](body, Allowance(PLENTY))
        sizes = {"compressed_bytes": len(body), "raw_bytes": len(raw)}
        found.append({"method": names[method], **sizes, "raw_sha256": _hash(raw)})
    return found


def _compare_groups(content: bytes, facts: dict[str, Any]) -> Comparisons:
    """Compare the streams of a per-group container."""
    *streams, _, permutations = per_group.split(content)
    lengths = [len(stream) for stream in per_group.split(content)]
    yield "stream_lengths", lengths, facts["stream_lengths"]
    yield "group_order", list(per_group.GROUPS), facts["group_order"]
    yield "simsort_keys", list(per_group.SORTED), facts["simsort_keys"]
    raws = [decode_lrzip(s, Allowance(PLENTY)) if s else b"" for s in streams]
    named = dict(zip(per_group.GROUPS, raws, strict=True))
    got = {group: {"bytes": len(raw), "sha256": _hash(raw)} for group, raw in named.items()}
    yield "group_raw_sha256", got, facts["group_raw_sha256"]
    orders = decode_brotli(permutations, Allowance(PLENTY)) if permutations else b""
    yield "all_perms_bytes", len(orders), facts["all_perms_bytes"]
    yield "all_perms_sha256", _hash(orders), facts["all_perms_sha256"]


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()
