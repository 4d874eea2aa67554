"""Containers: what the original systems wrote is read, repacked, and written again."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor

from artpack.artifact.reader import Artifact, open_artifact
from artpack.coding.profiles import FAST
from artpack.interop import Container, from_artifact, read_container, repack, write_container
from artpack.interop.archive import read_archive
from artpack.interop.pr1934 import byte_shuffle
from artpack.interop.wrapping import Allowance, unwrap
from tests.golden.checks.case import Case, Entries
from tests.golden.checks.container_evals import check_evals
from tests.golden.checks.container_facts import (
    PLENTY,
    Facts,
    check_facts,
    check_shuffle,
    entries,
    facts_of,
    read_facts,
    tensor_hashes,
)
from tests.golden.checks.export import fp32_sha256
from tests.golden.checks.report import Report

WRITTEN_AGAIN = ("artifact.bin", "artifact_pruned.bin")
"""Files that the original wrote without being forced into a layout or a method."""

UNORDERED = (byte_shuffle.NAME, byte_shuffle.NAME_XZ)
"""Formats whose original puts corrections in the order of errors, which no reader can know."""

CORRECTED = "quant_lqer_dequant.npz"
"""The tensors with a low-rank correction: the last bit depends on the BLAS of the original."""

BF16_STEP = 2.0**-8
LAST_BIT = 2.0**-22
"""Two units in the last place of the largest weight: what another order of four terms moves."""


@dataclass(frozen=True)
class File:
    """
    One container of a case.

    Attributes:
        case: The case.
        name: The file's name.
        facts: What is said of it.
        report: Where the outcome goes.
    """

    case: Case
    name: str
    facts: Facts
    report: Report

    @property
    def what(self) -> str:
        """Its name in the report."""
        return f"{self.case.label} {self.name}"

    @cached_property
    def content(self) -> bytes:
        """Its bytes."""
        return self.case.path(self.name).read_bytes()

    @cached_property
    def container(self) -> Container:
        """What we read."""
        return read_container(self.content)

    @cached_property
    def packed(self) -> bytes:
        """The artifact that it is repacked into."""
        digest = sha256(self.content).hexdigest()
        return repack(self.container, sha256=digest, profile=FAST).content()


def check(case: Case, report: Report) -> None:
    """Check ``artifact*.bin`` against what is said of them, and what was computed from them."""
    for about, got, want in check_shuffle(case):
        report.exact(f"{case.label} quant.json {about}", got, want)
    facts = read_facts(case)
    for name in sorted(case.files):
        if name.startswith("artifact") and name.endswith(".bin"):
            _check_file(File(case, name, facts_of(name, facts), report))


def _check_file(file: File) -> None:
    for about, got, want in check_facts(file.content, file.facts):
        file.report.exact(f"{file.what} {about}", got, want)
    sizes = f"{len(file.packed):,} bytes of {len(file.content):,}"
    passed = len(file.packed) <= len(file.content)
    file.report.line(f"{file.what} repacked", sizes, passed=passed)
    with open_artifact(file.packed) as artifact:
        _check_shapes(file, artifact)
        for about, dtype, hashes in tensor_hashes(file.facts):
            _check_tensors(file, about, _decoded(artifact, dtype), hashes)
        _check_written(file, artifact)
        if file.name == "artifact.bin" and file.case.system:
            check_evals(file.case, artifact, file.report)


def _decoded(artifact: Artifact, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return all tensors, and the banks beside their slices."""
    plans = artifact.header.plan.tensors
    stored = {plan.name: artifact.stored_tensor(plan.name, dtype=dtype) for plan in plans}
    return stored | artifact.load(dtype=dtype)


def _check_shapes(file: File, artifact: Artifact) -> None:
    facts = file.facts.get("tensors", {})
    wanted = {name: fact["shape"] for name, fact in facts.items() if "shape" in fact}
    if wanted:
        decoded = _decoded(artifact, None)
        got = {name: list(decoded[name].shape) for name in wanted}
        file.report.exact(f"{file.what} shapes ({len(wanted)})", got, wanted)


def _check_tensors(
    file: File, about: str, tensors: dict[str, Tensor], hashes: dict[str, str]
) -> None:
    """Compare hashes; values instead, where the last bit of the original depends on its BLAS."""
    got = {name: fp32_sha256(tensor) for name, tensor in tensors.items()}
    wrong = {name for name in hashes if got.get(name) != hashes[name]}
    values = file.case.entries(CORRECTED) if CORRECTED in file.case else Entries({})
    excused = wrong.intersection(values)
    for name in sorted(excused):
        want = values.peek(name)
        step = LAST_BIT if tensors[name].dtype == torch.float32 else BF16_STEP
        tolerance = step * float(np.abs(want).max())
        file.report.close(f"{file.what} {about} {name}", tensors[name].float(), want, tolerance)
    if excused:
        excused |= {b.name for b in file.container.banks if excused.intersection(b.members)}
    file.report.exact(f"{file.what} {about} ({len(hashes)})", sorted(wrong - excused), [])


def _check_written(file: File, artifact: Artifact) -> None:
    again = from_artifact(artifact, file.container.format)
    content = write_container(again, again.format, file_name=file.name)
    if again.format in UNORDERED:
        ours, theirs = (_archived(data) for data in (content, file.content))
        file.report.exact(f"{file.what} written again, entries", ours, theirs)
    elif file.name in WRITTEN_AGAIN:
        same = sum(a != b for a, b in zip(content, file.content, strict=False))
        differ = same + abs(len(content) - len(file.content))
        file.report.exact(f"{file.what} written again, bytes that differ", differ, 0)
    want = _integers(file.container)
    file.report.exact(f"{file.what} read again", _integers(read_container(content)), want)
    if hashes := file.facts["entries"]:
        got = entries(file.container)
        wrong = [name for name in hashes if got.get(name) != hashes[name]]
        file.report.exact(f"{file.what} entries ({len(hashes)})", wrong, [])


def _archived(data: bytes) -> dict[str, Any]:
    """Return meta, and a hash of each entry, of an archive of PR 1934."""
    content = read_archive(unwrap(data, Allowance(PLENTY)))
    entries = {name: sha256(t.numpy().tobytes()).hexdigest() for name, t in content["w"].items()}
    return {"w": entries, "m": content["m"]}


def _integers(container: Container) -> dict[str, Any]:
    """Return grid, shape and a hash of the symbols of each tensor."""
    return {
        tensor.name: (
            tensor.quantizer,
            tensor.quantized.shape,
            {
                name: sha256(part.tobytes()).digest()
                for name, part in tensor.quantized.parts.items()
            },
        )
        for tensor in container.tensors
    }
