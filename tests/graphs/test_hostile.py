"""Graphs from strangers: one clear line, and nothing is read or allocated before."""

from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import ModelProto, TensorProto

from artpack.checkpoint import open_checkpoint
from artpack.errors import CheckpointError
from tests.graphs import tiny


def fault_of(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("length", [3, 100, -1])
def test_truncated(length: int, tmp_path: Path) -> None:
    path = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    path.write_bytes(path.read_bytes()[:length])

    assert fault_of(path).startswith(f"{path}: a damaged ONNX graph, or none")


def test_something_else_with_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"hello, world")

    assert fault_of(path).startswith(f"{path}: a damaged ONNX graph, or none")


def test_a_graph_without_weights(tmp_path: Path) -> None:
    path = tiny.save(tiny.model(tiny.graph([], {}, {}, {})), tmp_path / "a.onnx")

    assert fault_of(path) == f"{path}: no tensors in this graph"


def first(made: ModelProto) -> TensorProto:
    tensor: TensorProto = made.graph.initializer[0]
    return tensor


def lie_about_sizes(made: ModelProto) -> None:
    first(made).dims[:] = [1 << 40, 1 << 20]


def say_a_negative_size(made: ModelProto) -> None:
    first(made).dims[:] = [-48, -64]


def take_elements_away(made: ModelProto) -> None:
    first(made).ClearField("raw_data")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lie_about_sizes, "'w1': [1099511627776, 1048576] float32 are 4611686018427387904 bytes"),
        (say_a_negative_size, "'w1': a negative size in its shape [-48, -64]"),
        (take_elements_away, "'w1': [48, 64] float32 are 12288 bytes, the file has 0"),
    ],
)
def test_sizes_that_lie(change: Callable[[ModelProto], None], fault: str, tmp_path: Path) -> None:
    made = tiny.perceptron()
    change(made)

    assert fault_of(tiny.save(made, tmp_path / "a.onnx")).startswith(fault)


@pytest.mark.parametrize(
    "location",
    ["../../etc/passwd", "/etc/passwd", "a/../../b", "C:\\x", "\\\\host\\x", "", ".", "a" * 300],
)
def test_elements_elsewhere_are_not_read(location: str, tmp_path: Path) -> None:
    path = tiny.external(tiny.perceptron(), tmp_path / "a.onnx", location)

    fault = f"'w1' is in {location!r:.200}, not a file of this folder"
    missing = f"'w1' is in {location!r:.200}, which is missing"
    assert fault_of(path) in (f"{path}: {fault}", f"{path}: {missing}")


def test_a_link_that_leads_away_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(1 << 16))
    folder = tmp_path / "folder"
    folder.mkdir()
    path = tiny.external(tiny.perceptron(), folder / "a.onnx", "link")
    (folder / "link").symlink_to("../secret")

    assert "not a file of this folder" in fault_of(path)


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("offset", "-1", "its offset '-1' is no number of bytes"),
        ("offset", "9" * 18, "has bytes 999999999999999999 to"),
        ("length", "9" * 18, "of weights.bin, which has"),
        ("length", "1e9", "its length '1e9' is no number of bytes"),
        ("length", "12", "are 12288 bytes, the file has 12"),
    ],
)
def test_places_that_lie(key: str, value: str, fault: str, tmp_path: Path) -> None:
    made = tiny.perceptron()
    path = tiny.external(made, tmp_path / "a.onnx")
    for entry in first(made).external_data:
        if entry.key == key:
            entry.value = value

    assert fault in fault_of(tiny.save(made, path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tiny.external(tiny.perceptron(), tmp_path / "a.onnx")
    (tmp_path / "weights.bin").unlink()

    assert fault_of(path) == f"{path}: 'w1' is in 'weights.bin', which is missing"


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    """Protobuf hands such text out as bytes, which nothing that looks at names expects."""
    path = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    path.write_bytes(path.read_bytes().replace(b"MatMul", b"MatMu\xff"))

    assert fault_of(path) == f"{path}: a damaged ONNX graph: a name in it is not UTF-8"


def test_tensors_that_lie_in_each_other(tmp_path: Path) -> None:
    """A few bytes of graph could otherwise name the same gigabyte over and over."""
    made = tiny.perceptron()
    path = tiny.external(made, tmp_path / "a.onnx")
    size = (tmp_path / "weights.bin").stat().st_size
    for number in range(6):
        one = made.graph.initializer.add(name=f"more{number}", dims=[size // 4 - 8], data_type=1)
        one.data_location = 1
        for key, value in (("location", "weights.bin"), ("offset", str(number))):
            one.external_data.add(key=key, value=value)
        one.external_data.add(key="length", value=str(4 * (size // 4 - 8)))

    assert fault_of(tiny.save(made, path)) == f"{path}: its tensors overlap in weights.bin"
