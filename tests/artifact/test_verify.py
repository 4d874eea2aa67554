"""Verification and description: what they find, and that every byte is counted."""

from pathlib import Path

import pytest
import torch

from artpack import save
from artpack.artifact.describe import describe
from artpack.artifact.reader import open_artifact
from artpack.artifact.verify import verify
from artpack.checkpoint import from_state_dict
from tests.artifact.forging import small_artifact, small_state_dict


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.artpack"
    path.write_bytes(content)
    return path


def test_a_sound_artifact_has_no_fault(tmp_path: Path) -> None:
    result = verify(write(tmp_path, small_artifact()))
    assert result.faults == ()
    with open_artifact(small_artifact()) as artifact:
        assert result.checked == 1 + len(artifact.header.records) + len(artifact.names)


def test_verification_goes_on_after_a_fault(tmp_path: Path) -> None:
    damaged = bytearray(small_artifact())
    with open_artifact(bytes(damaged)) as artifact:
        last = len(artifact.header.records) - 1
    damaged[-33] ^= 1
    faults = verify(write(tmp_path, bytes(damaged))).faults
    assert any("trailer" in fault for fault in faults)
    assert any(f"stream {last}" in fault for fault in faults)
    assert len(faults) < 5


@pytest.mark.parametrize("recipe", ["lossless", "int8", "int6", "quinary"])
def test_errors_are_those_of_the_tensors(tmp_path: Path, recipe: str) -> None:
    path = write(tmp_path, small_artifact(recipe))
    state = small_state_dict()
    with from_state_dict(state) as checkpoint:
        errors = {error.name: error for error in verify(path, against=checkpoint).errors}
    with open_artifact(path) as artifact:
        for name, original in state.items():
            difference = artifact[name].double() - original.double()
            assert errors[name].largest == difference.abs().max().item()
            expected = difference.norm() / original.double().norm()
            assert errors[name].relative == pytest.approx(expected.item())


def test_infinities_and_nans_that_were_kept_are_no_error(tmp_path: Path) -> None:
    state = {"mask": torch.tensor([0.0, -torch.inf, torch.nan]), "zero": torch.zeros(3)}
    path = tmp_path / "a.artpack"
    save(state, path, recipe="lossless", profile="fast")
    with from_state_dict(state) as checkpoint:
        result = verify(path, against=checkpoint)
    assert result.faults == ()
    assert [error.largest for error in result.errors] == [0, 0]


def test_a_kept_tensor_that_became_a_nan_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.artpack"
    save({"w": torch.tensor([1.0, torch.nan])}, path, recipe="lossless", profile="fast")
    with from_state_dict({"w": torch.tensor([1.0, 2.0])}) as checkpoint:
        assert verify(path, against=checkpoint).faults == ("'w': kept as it is, but differs",)


def test_a_kept_tensor_that_differs_is_a_fault(tmp_path: Path) -> None:
    state = small_state_dict()
    path = write(tmp_path, small_artifact("lossless"))
    state["norm"] = state["norm"] + 1
    with from_state_dict(state) as checkpoint:
        faults = verify(path, against=checkpoint).faults
    assert faults == ("'norm': kept as it is, but differs",)


@pytest.mark.parametrize("recipe", ["lossless", "int6", "ternary"])
def test_every_byte_is_counted_once(recipe: str) -> None:
    content = small_artifact(recipe)
    with open_artifact(content) as artifact:
        description = describe(artifact)
    tensors = sum(row.stored_bytes for row in description.tensors)
    assert tensors + sum(description.overhead.values()) == len(content)
    assert description.weights == sum(t.numel() for t in small_state_dict().values())
    assert description.bits_per_weight == 8 * len(content) / description.weights


def test_without_decoding_bytes_are_shared_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_artifact(small_artifact()) as artifact:
        whole = artifact.inspect()
        monkeypatch.setattr(artifact, "stream", None)
        quick = artifact.inspect(entropy=False)
    assert sum(row.stored_bytes for row in quick.tensors) + sum(quick.overhead.values()) == (
        quick.file_bytes
    )
    assert [row.name for row in quick.tensors] == [row.name for row in whole.tensors]
    assert {(row.entropy_bytes, row.gap, row.histogram) for row in quick.tensors} == {
        (None, None, ())
    }


def test_histograms_count_the_codes() -> None:
    with open_artifact(small_artifact()) as artifact:
        rows = {row.name: row for row in describe(artifact).tensors}
        codes = artifact.quantized("blocks.0.fc.weight").parts["codes"]
    counts = rows["blocks.0.fc.weight"].histogram
    assert len(counts) == 63
    assert [int((codes == symbol).sum()) for symbol in range(63)] == list(counts)


def test_an_empty_tensor_has_a_row_of_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.artpack"
    save({"empty": torch.zeros(0, 4), "full": torch.ones(9)}, path, profile="fast")
    with open_artifact(path) as artifact:
        description = describe(artifact)
    row = description.tensors[0]
    assert (row.weights, row.bits_per_weight, row.entropy_bits_per_weight, row.gap) == (0, 0, 0, 0)
    total = sum(row.stored_bytes for row in description.tensors)
    assert total + sum(description.overhead.values()) == description.file_bytes


def test_a_tie_that_the_checkpoint_does_not_have_is_a_fault(tmp_path: Path) -> None:
    weight = torch.ones(8, 8)
    path = tmp_path / "a.artpack"
    save({"a": weight, "b": weight}, path, profile="fast")
    with from_state_dict({"a": weight, "b": 2 * weight}) as checkpoint:
        faults = verify(path, against=checkpoint).faults
    assert faults == ("'b' is tied to 'a', in the checkpoint it is not",)


def test_what_only_the_checkpoint_has_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, small_artifact())
    with from_state_dict({**small_state_dict(), "more": torch.ones(3)}) as checkpoint:
        result = verify(path, against=checkpoint)
    assert result.faults == ()
    assert result.left_out == ("more",)
