"""Tensors in files: what was written is read, and anything else is refused."""

import json
from pathlib import Path

import pytest
import torch

from artpack.system.tensor_record import read_tensor_record, tensor_record

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).reshape(2, 3).T,
    "b": torch.tensor(0.5, dtype=torch.float64),
    "c": torch.empty(0, 4, dtype=torch.int32),
}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"".join(tensor_record({"done": 3}, TENSORS)))
    found = read_tensor_record(file)
    assert found is not None
    about, tensors = found
    assert about == {"done": 3}
    assert list(tensors) == list(TENSORS)
    for name, tensor in tensors.items():
        assert tensor.dtype == TENSORS[name].dtype
        assert torch.equal(tensor, TENSORS[name])


ONE = ["a", "<f4", [1]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 5000,
        b"\xff\n",
        b"[]\n",
        b"{}\n",
        *(
            json.dumps({"about": about, "tensors": listed}).encode() + b"\n" + b"0" * size
            for about, listed, size in [
                ([], [], 0),
                ({"done": -1}, [], 0),
                ({"done": 0.5}, [], 0),
                ({"done": True}, [], 0),
                ({}, [ONE], 3),
                ({}, [ONE], 5),
                ({}, [["a", "|O", [1]]], 8),
                ({}, [["a", "<f4", [-1]]], 0),
                ({}, [["a", "<f4", [1 << 60, 1 << 60]]], 4),
                ({}, [["a", "<f4", 1]], 4),
                ({}, [["a", "<f4"]], 4),
                ({}, [[5, "<f4", [1]]], 4),
            ]
        ),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a"
    file.write_bytes(content)
    assert read_tensor_record(file) is None
    assert read_tensor_record(tmp_path / "missing") is None
