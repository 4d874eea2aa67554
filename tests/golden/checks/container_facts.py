"""What ``artifact.json`` says, which every system says in its own words."""

from collections import ChainMap
from collections.abc import Iterator, MutableMapping
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from artpack.coding.codecs import Brotli
from artpack.interop import Container
from artpack.interop.archive import read_archive
from artpack.interop.codes import codes_and_scales
from artpack.interop.pr826 import torch_lzma
from artpack.interop.pr1934 import per_group
from artpack.interop.pr1934.gptq_entries import write_entries
from artpack.interop.pr1934.shuffle import MAGIC, shuffle, unshuffle
from artpack.interop.pr2086 import per_stream
from artpack.interop.wrapping import Allowance, decode_brotli, decode_lrzip
from artpack.quantize import RowInt
from tests.golden.checks.case import Case

Facts = MutableMapping[str, Any]
Hashes = Iterator[tuple[str, torch.dtype | None, dict[str, str]]]
Comparisons = Iterator[tuple[str, Any, Any]]
FP32 = torch.float32
PLENTY = 1 << 32

PER_TENSOR = (
    ("fp32", FP32, "sha256_f32"),
    ("fp32", FP32, "sha256_f32_of_fp32_dequant"),
    ("as loaded", None, "sha256_f32_with_published_template_dtype"),
    ("as loaded", None, "sha256_f32_of_default_bf16_dequant"),
)
"""What is decoded, to which type (None for the container's own), and its key in ``tensors``."""

BY_NAME = (
    ("fp32", FP32, "decoded_tensor_sha256_fp32"),
    ("fp32, in banks", FP32, "rebanked_tensor_sha256_fp32"),
    ("as loaded", None, "decoded_tensor_sha256_bf16_template_then_fp32"),
)
"""The same where a key holds name to hash."""


def read_facts(case: Case) -> Facts:
    """Return what is said of a case's containers; taken from whichever file says it."""
    if "artifact.json" in case:
        return case.entries("artifact.json")
    facts: Facts = case.entries("quant.json").get("artifact", {}) if "quant.json" in case else {}
    return facts


def facts_of(file: str, facts: Facts) -> Facts:
    """Return what is said of one of the containers."""
    forced = facts.get("forced_selective_pruning") or {}
    if forced.get("file") == file:
        return ChainMap({"entries": forced["payload_q_sha256"]}, forced)
    hashes = facts.get("payload_sha256", facts.get("decoded_int8_sha256", {}))
    return ChainMap({"entries": hashes}, facts.get("variants", {}).get(file, {}), facts)


def tensor_hashes(facts: Facts) -> Hashes:
    """Give what is decoded, to which type, and name to hash of the tensor as fp32."""
    tensors = facts.get("tensors", {})
    for which, dtype, key in PER_TENSOR:
        if hashes := {name: fact[key] for name, fact in tensors.items() if key in fact}:
            yield which, dtype, hashes
    for which, dtype, key in BY_NAME:
        if key in facts:
            yield which, dtype, facts[key]
    if "tok_emb_sha256_if_template_is_bf16" in facts:
        hashes = {"tok_emb.weight": facts["tok_emb_sha256_if_template_is_bf16"]}
        yield "as loaded", None, hashes


def entries(container: Container) -> dict[str, str]:
    """Return name to hash of the entries that codes, scales and plain tensors become."""
    found: dict[str, Tensor] = {}
    for tensor in container.tensors:
        if isinstance(tensor.quantizer, RowInt) and container.format in torch_lzma.PACKERS:
            found[f"{tensor.name}.q"], found[f"{tensor.name}.scale"] = codes_and_scales(tensor)
        else:
            found |= write_entries([tensor])[0]
    return {name: _hash(entry.contiguous().numpy().tobytes()) for name, entry in found.items()}


def check_facts(content: bytes, facts: Facts) -> Comparisons:
    """Give what is said of a file, what is there, and what should be."""
    for key, got in (("bytes", len(content)), ("sha256", _hash(content))):
        if key in facts:
            yield key, got, facts[key]
    if "payloads" in facts:
        yield "payloads", _payloads(content), facts["payloads"]
    if "stream_lengths" in facts:
        yield from _compare_groups(content, facts)
    if "rans" in facts:
        streams = read_archive(content)["rans_data"]
        hashes = {name: _hash(stream.numpy().tobytes()) for name, stream in streams.items()}
        yield "rans", hashes, {name: fact["sha256"] for name, fact in facts["rans"].items()}
        sizes = {name: stream.numel() for name, stream in streams.items()}
        wanted = {name: fact["compressed_bytes"] for name, fact in facts["rans"].items()}
        yield "rans bytes", sizes, wanted


def check_shuffle(case: Case) -> Comparisons:
    """Give the small cases of the byte shuffle."""
    if "quant.json" not in case or "byte_shuffle_units" not in case.entries("quant.json"):
        return
    facts = case.entries("quant.json")
    for unit in facts.take("byte_shuffle_units"):
        raw, want = bytes.fromhex(unit["in_hex"]), bytes.fromhex(unit["out_hex"])
        what = f"byte_shuffle_units stride {unit['stride']} of {len(raw)}"
        yield what, shuffle(raw, stride=unit["stride"]), want
        yield f"{what}, undone", unshuffle(want) if want.startswith(MAGIC) else want, raw
    unit = facts.take("compress_brotli_unit")
    want = bytes.fromhex(unit["out_hex"])
    text, _, times = unit["in_utf8"].rpartition(" x")
    got = Brotli(window_log=22).encode(shuffle(text.encode() * int(times)))
    yield "compress_brotli_unit", got.hex(), want.hex()


def _payloads(content: bytes) -> list[dict[str, Any]]:
    """Describe the payloads of a per-stream container."""
    names = {per_stream.XZ: "lzma", per_stream.LRZIP: "lrzip"}
    found = []
    for method, body in per_stream.split(content)[1]:
        raw = per_stream.METHODS[method](body, Allowance(PLENTY))
        sizes = {"compressed_bytes": len(body), "raw_bytes": len(raw)}
        found.append({"method": names[method], **sizes, "raw_sha256": _hash(raw)})
    return found


def _compare_groups(content: bytes, facts: Facts) -> Comparisons:
    """Compare the streams of a per-group container."""
    *streams, _, permutations = per_group.split(content)
    raws = [decode_lrzip(s, Allowance(PLENTY)) if s else b"" for s in streams]
    named = zip(per_group.GROUPS, raws, strict=True)
    orders = decode_brotli(permutations, Allowance(PLENTY)) if permutations else b""
    got = {
        "stream_lengths": [len(stream) for stream in per_group.split(content)],
        "group_order": list(per_group.GROUPS),
        "simsort_keys": list(per_group.SORTED),
        "group_raw_sha256": {g: {"bytes": len(raw), "sha256": _hash(raw)} for g, raw in named},
        "all_perms_bytes": len(orders),
        "all_perms_sha256": _hash(orders),
    }
    for key, value in got.items():
        if key in facts:
            yield key, value, facts[key]


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()
