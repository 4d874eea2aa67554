"""What a golden artifact holds, put into a file as it stands: no auction, no recipe."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from artpack.artifact.header import Header
from artpack.artifact.plan import Member, Plan, StreamPlan, TensorPlan
from artpack.artifact.writer import assemble, hash_symbols, record_stream
from artpack.checkpoint import Bank, Tie
from artpack.coding.codecs import Stored
from artpack.coding.layouts import Rows
from artpack.coding.pipeline import Pipeline
from artpack.coding.symbol_coders import Rans
from artpack.stages import Config, Quantizer

RANS = Pipeline(Rows(), Rans(), Stored())

Fingerprint = tuple[str, list[int], str]
"""Dtype, shape, and SHA-256 of the elements' bytes, row-major and little-endian."""


def fingerprint(tensor: Tensor) -> Fingerprint:
    """Say what a tensor is, to the bit."""
    content = tensor.detach().reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
    dtype = str(tensor.dtype).removeprefix("torch.")
    return dtype, list(tensor.shape), hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A tensor, how it is quantized, and how its first part is coded; the others go to rANS."""

    weight: Tensor
    quantizer: Quantizer
    pipeline: Pipeline = RANS

    def plan(self, name: str) -> TensorPlan:
        dtype, shape, _ = fingerprint(self.weight)
        return TensorPlan(name, tuple(shape), dtype, self.quantizer)


@dataclass(frozen=True)
class Content:
    """What an artifact is to hold; without streams, one for each pipeline and alphabet."""

    entries: dict[str, Entry]
    streams: Sequence[StreamPlan] = ()
    outputs: tuple[str, ...] = ()
    ties: tuple[Tie, ...] = ()
    banks: tuple[Bank, ...] = ()
    model: Config | None = None
    provenance: Config = field(default_factory=dict)

    def artifact(self) -> bytes:
        tensors = tuple(entry.plan(name) for name, entry in self.entries.items())
        plan = Plan(tensors, tuple(self.streams) or self._streams(tensors))
        quantized = [entry.quantizer.quantize(entry.weight) for entry in self.entries.values()]
        coded = [
            stream.pipeline.encode(
                [
                    quantized[m.tensor].parts[plan.spec(m).name][m.first_row :][: m.rows]
                    for m in stream.members
                ],
                alphabet=plan.spec(stream.members[0]).alphabet,
            )
            for stream in plan.streams
        ]
        header = Header(
            plan=plan,
            hashes=tuple(map(hash_symbols, quantized)),
            records=tuple(map(record_stream, coded)),
            outputs=self.outputs,
            ties=self.ties,
            banks=self.banks,
            model=self.model,
            provenance=self.provenance,
        )
        return b"".join(assemble(header, [stream.stored for stream in coded]))

    def _streams(self, tensors: Sequence[TensorPlan]) -> tuple[StreamPlan, ...]:
        members: dict[tuple[Pipeline, int], list[Member]] = {}
        for t, (tensor, entry) in enumerate(zip(tensors, self.entries.values(), strict=True)):
            for p, part in enumerate(tensor.parts):
                pipeline = RANS if p else entry.pipeline
                members.setdefault((pipeline, part.alphabet), []).append(Member(t, p, 0, part.rows))
        return tuple(StreamPlan(tuple(found), pipe) for (pipe, _), found in members.items())
