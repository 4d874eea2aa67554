"""safetensors files, sound and not."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save, save_file

from artpack.checkpoint import open_checkpoint
from artpack.errors import CheckpointError, UsageError

DTYPES = (
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.int64,
    torch.int8,
    torch.uint8,
    torch.uint16,
    torch.bool,
    torch.complex64,
)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (5,), (2, 3)], ids=str)
def test_every_dtype_and_shape_comes_back(
    tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    weight = torch.ones(shape).to(dtype)
    save_file({"a": weight}, tmp_path / "w.safetensors")
    with open_checkpoint(tmp_path / "w.safetensors") as checkpoint:
        (info,) = checkpoint.tensors
        read = checkpoint.read("a")
    assert (info.name, info.shape, info.dtype) == ("a", shape, dtype)
    assert (read.shape, read.dtype) == (shape, dtype)
    assert torch.equal(read.reshape(-1).view(torch.uint8), weight.reshape(-1).view(torch.uint8))


def test_the_order_is_that_of_the_bytes_and_then_of_the_names(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    header = {"b": (0, 4), "none2": (4, 4), "none1": (4, 4), "none3": (4, 4), "a": (4, 8)}
    text = json.dumps(
        {
            name: {
                "dtype": "F32",
                "shape": [(end - start) // 4],
                "data_offsets": [start, end],
            }
            for name, (start, end) in header.items()
        }
    ).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    for _ in range(8):
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.names == ("b", "a", "none1", "none2", "none3")


def test_a_tensor_stays_valid_after_the_checkpoint_is_closed(tmp_path: Path) -> None:
    save_file({"a": torch.arange(5)}, tmp_path / "w.safetensors")
    with open_checkpoint(tmp_path / "w.safetensors") as checkpoint:
        read = checkpoint.read("a")
    del checkpoint
    assert torch.equal(read, torch.arange(5))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello world, this is text",
        save({"a": torch.ones(3)})[:-1],
        save({"a": torch.ones(3)}) + b"!",
    ],
    ids=["empty", "text", "short", "long"],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"not a sound safetensors file \(SafetensorError: "):
        open_checkpoint(path)


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    save_file({}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="no tensors in it"):
        open_checkpoint(tmp_path / "w.safetensors")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"w\.safetensors: cannot be read \(no such file"):
        open_checkpoint(tmp_path / "w.safetensors")


def test_a_key_is_refused_where_there_are_none(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(UsageError, match=r"key 'model': w\.safetensors holds a single state dict"):
        open_checkpoint(tmp_path / "w.safetensors", key="model")
