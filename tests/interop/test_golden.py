"""The containers that the original systems wrote for their small models."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from artpack.interop import read_container, write_container
from tests.interop.containers import check_same

HASHES = {
    "pr2086/A": "sha256_f32_of_default_bf16_dequant",
    "pr576/A": "sha256_f32_with_published_template_dtype",
    "pr1123/A": "sha256_f32",
}
"""Systems that hash each tensor as their own loader gives it."""


@pytest.mark.parametrize("case", [*HASHES, "pr826/A"])
def test_a_golden_container_decodes_and_is_written_again(cases: Path, case: str) -> None:
    folder = cases / "golden" / case
    content = (folder / "artifact.bin").read_bytes()
    facts = json.loads((folder / "artifact.json").read_text())
    container = read_container(content)
    if case in HASHES:
        want = {name: fact[HASHES[case]] for name, fact in facts["tensors"].items()}
    else:
        want = facts["decoded_tensor_sha256_fp32"]
        want |= facts["decoded_tensor_sha256_bf16_template_then_fp32"]
    got = {
        name: sha256(tensor.float().contiguous().numpy().tobytes()).hexdigest()
        for name, tensor in container.weights().items()
    }
    assert got == want
    again = write_container(container, container.format, file_name="artifact.bin")
    # Other releases of the compressors may write other bytes, but not many.
    assert abs(len(again) - len(content)) < 0.01 * len(content)
    check_same(read_container(again), container)
