"""Files of torch.save that ask for far more than they hold."""

import _codecs
import io
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.calls import read_keys
from artpack.checkpoint.saved import MAX_SHARING, SPARE_BYTES, load_saved
from artpack.errors import CheckpointError

FORMATS = {"zip": True, "legacy": False}
GIB = 1 << 30


class Calls:
    """Pickled as a call of something."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


def message_of(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("shape", [(1 << 20, 1 << 10), (GIB,), (1 << 40,), (4, 1 << 20)])
def test_expanded_tensors_are_refused(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    content = {"w": torch.zeros(1).expand(shape), "b": torch.ones(3)}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=FORMATS[kind])
    assert "and the file accounts for no more than" in message_of(tmp_path / "a.pt")


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_expanded_a_little_is_read(tmp_path: Path, kind: str) -> None:
    weight = torch.arange(4.0)[:, None].expand(4, 100)
    torch.save({"w": weight}, tmp_path / "a.pt", _use_new_zipfile_serialization=FORMATS[kind])
    with open_checkpoint(tmp_path / "a.pt") as checkpoint:
        assert torch.equal(checkpoint.read("w"), weight)


def test_many_views_of_one_storage_are_refused_together(tmp_path: Path) -> None:
    base = torch.zeros(SPARE_BYTES)
    views = {f"w{i}": base[i:] for i in range(2 * MAX_SHARING)}
    torch.save(views, tmp_path / "a.pt")
    assert "if they were expanded or overlap" in message_of(tmp_path / "a.pt")


def test_a_matrix_its_parts_and_a_second_name_are_read(tmp_path: Path) -> None:
    fused = torch.randn(3 * 256, 1024)
    parts = dict(zip(("q", "k", "v"), fused.chunk(3), strict=True))
    torch.save({"qkv": fused, **parts, "again": fused}, tmp_path / "a.pt")
    with open_checkpoint(tmp_path / "a.pt") as checkpoint:
        assert torch.equal(checkpoint.read("k"), parts["k"])


def test_expanded_moments_beside_the_weights_are_refused(tmp_path: Path) -> None:
    moments = {"state": {0: {"exp_avg": torch.zeros(1).expand(GIB)}}}
    torch.save({"model": {"w": torch.ones(3)}, "optimizer": moments}, tmp_path / "a.pt")
    assert "and the file accounts for" in message_of(tmp_path / "a.pt")


def test_a_deflated_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(4)}, tmp_path / "whole.pt")
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as old,
        zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, bytes(1 << 25) if name.endswith("data/0") else old.read(name))
    assert "compressed into" in message_of(tmp_path / "a.pt")


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "call",
    [
        Calls(bytearray, 1 << 40),
        Calls(bytearray, torch.zeros(1, dtype=torch.uint8).expand(GIB)),
        Calls(set, torch.zeros(1).expand(GIB)),
        Calls(Counter, torch.zeros(1).expand(GIB)),
        Calls(_codecs.encode, Calls(_codecs.encode, "a", "hex"), "hex"),
        Calls(torch.Tensor, 1 << 40),
        Calls(torch.FloatStorage, 1 << 40),
        Calls(torch._tensor._rebuild_from_type_v2, torch.Tensor, torch.Tensor, (1 << 40,), {}),
        Calls(
            torch._utils._rebuild_device_tensor_from_cpu_tensor,
            torch.zeros(1).expand(GIB),
            torch.float64,
            "cpu",
            False,  # noqa: FBT003 - torch pickles it so
        ),
    ],
    ids=lambda call: call.call[0].__name__,
)
def test_calls_that_allocate_are_refused(tmp_path: Path, kind: str, call: Calls) -> None:
    content = {"model": {"w": torch.ones(3)}, "besides": call}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=FORMATS[kind])
    assert "and nothing but tensors is loaded" in message_of(tmp_path / "a.pt")


@pytest.mark.parametrize("kind", FORMATS)
def test_what_training_scripts_save_is_read(tmp_path: Path, kind: str) -> None:
    content: dict[str, Any] = {
        "model": OrderedDict(w=torch.nn.Parameter(torch.ones(3)), h=torch.ones(2).bfloat16()),
        "milestones": Counter([3, 3, 5]),
        "seen": {1, 2},
        "raw": b"\x00\xff",
        "also raw": bytearray(b"ab"),
        "shape": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.bfloat16,
        "number": 1j,
        "sparse": torch.eye(3).to_sparse(),
        "rng": torch.get_rng_state(),
    }
    content["model"]._metadata = OrderedDict(version=1)
    content["itself"] = [content]
    path = tmp_path / "a.pt"
    torch.save(content, path, _use_new_zipfile_serialization=FORMATS[kind])
    loaded = load_saved(path)
    assert isinstance(loaded, dict)
    assert set(loaded) == set(content)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.names == ("w", "h")


def test_a_dict_under_very_many_names_is_looked_into_once(tmp_path: Path) -> None:
    inner: dict[str, object] = {str(i): {} for i in range(1000)}
    middle: dict[str, object] = {str(i): inner for i in range(1000)}
    torch.save({str(i): middle for i in range(1000)}, tmp_path / "a.pt")
    assert "no tensors" in message_of(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "pickled",
    [
        b"X\x01\0\0\0k].",
        b"]X\x01\0\0\0kX\x01\0\0\0ka.",
        b"]X\x01\0\0\0ka0].",
        b"]q\0X\x01\0\0\0k0h\0.",
    ],
)
def test_keys_that_are_only_near_the_list_are_none(pickled: bytes) -> None:
    """A storage without bytes, if it is believed to have some, is whatever was in memory."""
    assert read_keys(io.BytesIO(b"\x80\x02]X\x01\0\0\0ka.")) == {"k"}
    with pytest.raises(ValueError, match="no list of text"):
        read_keys(io.BytesIO(b"\x80\x02" + pickled))
