"""Reading tensor by tensor."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from artpack.checkpoint import from_state_dict, open_checkpoint
from artpack.checkpoint.reader import TensorReader
from artpack.checkpoint.safetensors_file import safetensors_source
from artpack.checkpoint.source import Loaded, Source
from artpack.errors import CheckpointError, UsageError


class CountingSource:
    """Counts how often the tensors are mapped."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = tensors
        self.loads = 0

    def load(self) -> Loaded:
        self.loads += 1
        return Loaded(dict(self.tensors))


@pytest.fixture
def map_anything_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat tiny tensors as if mapping them anew were worth it."""
    monkeypatch.setattr("artpack.checkpoint.reader.MAPPED_BYTES", 0)


def test_small_tensors_are_mapped_once_however_many_they_are() -> None:
    counting = CountingSource({f"norm.{i}": torch.zeros(64) for i in range(100)})
    reader = TensorReader(Source((), counting.load))
    for name in counting.tensors:
        reader.read(name)
        reader.release()
    assert counting.loads == 1


@pytest.mark.usefixtures("map_anything_anew")
def test_maps_are_made_anew_once_the_size_of_the_largest_was_read() -> None:
    sizes = {"small": 1, "half": 2, "other half": 2, "largest": 4}
    counting = CountingSource({name: torch.zeros(size) for name, size in sizes.items()})
    reader = TensorReader(Source((), counting.load))
    loads = []
    for name in ("small", "half", "small", "other half", "largest", "small"):
        reader.read(name)
        loads.append(counting.loads)
    assert loads == [1, 1, 1, 2, 3, 4]


def test_a_slice_counts_as_no_more_than_itself() -> None:
    counting = CountingSource({"bank": torch.arange(8.0).reshape(4, 2)})
    reader = TensorReader(Source((), counting.load))
    assert [reader.read("bank", i).tolist() for i in range(4)] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert counting.loads == 1


def test_a_tensor_stays_valid_when_the_maps_are_made_anew(tmp_path: Path) -> None:
    weights = {str(i): torch.full((1000,), float(i)) for i in range(5)}
    save_file(weights, tmp_path / "w.safetensors")
    reader = TensorReader(safetensors_source(tmp_path / "w.safetensors"))
    read = {name: reader.read(name) for name in weights}
    assert all(torch.equal(read[name], weights[name]) for name in weights)


def test_what_is_read_is_contiguous_and_outside_the_graph() -> None:
    weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    with from_state_dict({"a": weight, "turned": weight.T}) as checkpoint:
        turned = checkpoint.read("turned")
        assert turned.is_contiguous()
        assert torch.equal(turned, weight.T)
        assert not checkpoint.read("a").requires_grad


@pytest.mark.usefixtures("map_anything_anew")
@pytest.mark.parametrize("touch", ["newer", "other size", "gone"])
def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, touch: str) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(3), "b": torch.ones(3)}, path)
    with open_checkpoint(path) as checkpoint:
        checkpoint.read("a")
        if touch == "newer":
            os.utime(path, ns=(0, 0))
        elif touch == "other size":
            path.rename(tmp_path / "old")
            save_file({"a": torch.zeros(4), "b": torch.zeros(4)}, path)
        else:
            path.rename(tmp_path / "old")
        problem = "cannot be read" if touch == "gone" else "changed while it was being read"
        with pytest.raises(CheckpointError, match=problem):
            checkpoint.read("b")
        if touch != "gone":
            with pytest.raises(CheckpointError, match=problem):
                _ = checkpoint.sha256


class Subclass(Tensor):
    """A tensor with more to it than its elements."""


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        (torch.eye(2).to_sparse(), r"'a': a torch\.sparse_coo tensor; save it dense"),
        (torch.ones(2, device="meta"), "'a': on the meta device, without elements"),
        (torch.ones(2).as_subclass(Subclass), "'a': a Subclass; save it as a plain tensor"),
        (
            torch.nested.as_nested_tensor([torch.ones(1), torch.ones(2)], layout=torch.jagged),
            "'a': a NestedTensor; save it as a plain tensor",
        ),
    ],
    ids=["sparse", "meta", "subclass", "nested"],
)
def test_a_tensor_that_is_not_plain_is_named(tensor: Tensor, problem: str) -> None:
    with pytest.raises(CheckpointError, match=problem):
        from_state_dict({"ok": torch.ones(1), "a": tensor})


@pytest.mark.filterwarnings("ignore:.*quantize.* deprecated")
def test_a_quantized_tensor_is_named() -> None:
    tensor = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    with pytest.raises(CheckpointError, match=r"'a': a torch\.qint8 tensor; save it dense"):
        from_state_dict({"a": tensor})


def test_a_name_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(CheckpointError, match="the name is not valid unicode"):
        from_state_dict({"a\ud800": torch.ones(1)})


def test_the_hash_of_one_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"a": torch.ones(3)}, path)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_hash_of_shards_is_that_of_the_lines_of_sha256sum(tmp_path: Path) -> None:
    files = ["1.safetensors", "2.safetensors", "model.safetensors.index.json"]
    save_file({"a": torch.ones(3)}, tmp_path / files[0])
    save_file({"b": torch.zeros(3)}, tmp_path / files[1])
    (tmp_path / files[2]).write_text(json.dumps({"weight_map": {"b": files[1], "a": files[0]}}))
    lines = [
        f"{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}\n" for name in files
    ]
    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_the_hash_of_tensors_depends_on_all_that_they_are() -> None:
    a, b = torch.ones(2, 2), torch.zeros(1)
    variants: list[dict[str, Tensor]] = [
        {"a": a, "b": b},
        {"b": b, "a": a},
        {"a": a, "c": b},
        {"a": a.reshape(4), "b": b},
        {"a": a.view(torch.int32), "b": b},
        {"a": a * 2, "b": b},
        {"a": a},
    ]
    assert len({from_state_dict(weights).sha256 for weights in variants}) == len(variants)
    copies = {"a": a.clone().T, "b": b.clone()}
    assert from_state_dict(copies).sha256 == from_state_dict(variants[0]).sha256


def test_a_closed_checkpoint_is_not_read() -> None:
    checkpoint = from_state_dict({"a": torch.ones(1)})
    checkpoint.close()
    with pytest.raises(UsageError, match="'a': the checkpoint is closed"):
        checkpoint.read("a")
    with pytest.raises(UsageError, match="the checkpoint is closed"):
        _ = checkpoint.sha256


def test_a_tensor_that_is_not_stored_is_not_read() -> None:
    weight = torch.ones(1)
    with (
        from_state_dict({"a": weight, "tied": weight}) as checkpoint,
        pytest.raises(UsageError, match="no stored tensor 'tied'"),
    ):
        checkpoint.read("tied")
