"""Graphs are taken to pieces and put together again."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, checker, helper

from artpack.errors import CorruptError, UsageError
from artpack.graphs import fill_graph, output, read_graph, write_graph
from artpack.graphs.places import find_places
from tests.graphs import tiny


@pytest.mark.parametrize("name", tiny.GRAPHS)
def test_graph_comes_back(name: str, tmp_path: Path) -> None:
    made = tiny.GRAPHS[name]()
    graph = read_graph(tiny.save(made, tmp_path / "a.onnx"))

    skeleton = graph.without(frozenset(graph.tensors))
    filled = fill_graph(skeleton, graph.tensors)

    assert len(skeleton) < 2500
    if name == "halves":  # only where its elements were listed has changed
        for whole in (made, filled):
            whole.graph.initializer[0].ClearField("int32_data")
            whole.graph.initializer[0].ClearField("raw_data")
    assert filled == made
    checker.check_model(fill_graph(skeleton, graph.tensors))


def test_names_of_branches_are_told_apart(tmp_path: Path) -> None:
    graph = read_graph(tiny.save(tiny.branches(), tmp_path / "a.onnx"))

    assert list(graph.tensors) == ["w", "w.2"]
    np.testing.assert_array_equal(graph.tensors["w.2"], tiny.random(48, 32))
    np.testing.assert_array_equal(graph.tensors["w"], tiny.random(48, 32, seed=1))


def test_a_number_that_is_taken_is_not_given() -> None:
    names = ["w", "w.2", "w", "w", "w.2"]
    nodes = [
        helper.make_node("Constant", [], [name], value=tiny.tensor(name, tiny.random(20)))
        for name in names
    ]
    places = find_places(tiny.model(tiny.graph(nodes, {}, {}, {})))

    assert list(places) == ["w", "w.2", "w.3", "w.4", "w.2.2"]


def test_small_constants_stay_in_the_graph(tmp_path: Path) -> None:
    graph = read_graph(tiny.save(tiny.loop(), tmp_path / "a.onnx"))

    assert list(graph.tensors) == ["w"]


def test_left_out_tensors_are_carried(tmp_path: Path) -> None:
    graph = read_graph(tiny.save(tiny.perceptron(), tmp_path / "a.onnx"))

    filled = fill_graph(graph.without(frozenset({"w1"})), {"w1": graph.tensors["w1"]})

    assert filled == tiny.perceptron()


@pytest.mark.parametrize(
    ("kind", "dtype", "values"),
    [
        (TensorProto.BFLOAT16, torch.bfloat16, [0x3F80, 0xC000] * 8),
        (TensorProto.FLOAT16, torch.float16, [0x3C00, 0xC000] * 8),
        (TensorProto.INT8, torch.int8, [1, -2] * 8),
        (TensorProto.UINT8, torch.uint8, [1, 254] * 8),
        (TensorProto.UINT16, torch.uint16, [1, 65534] * 8),
        (TensorProto.INT32, torch.int32, [1, -2] * 8),
        (TensorProto.BOOL, torch.bool, [1, 0] * 8),
    ],
)
def test_listed_elements_are_read(
    kind: int, dtype: torch.dtype, values: list[int], tmp_path: Path
) -> None:
    made = tiny.perceptron()
    listed = made.graph.initializer.add(name="listed", data_type=kind, dims=[2, 8])
    listed.int32_data.extend(values)

    read = read_graph(tiny.save(made, tmp_path / "a.onnx")).tensors["listed"]

    assert (read.dtype, tuple(read.shape)) == (dtype, (2, 8))
    signed = {torch.bfloat16: [1.0, -2.0], torch.float16: [1.0, -2.0]}.get(dtype, values[:2])
    assert read.tolist()[1][:2] == signed


@pytest.mark.parametrize(
    ("kind", "field", "dtype", "values"),
    [
        (TensorProto.FLOAT, "float_data", torch.float32, [0.5, -1.5]),
        (TensorProto.DOUBLE, "double_data", torch.float64, [0.1, -1e300]),
        (TensorProto.INT64, "int64_data", torch.int64, [-1, 1 << 60]),
        (TensorProto.UINT32, "uint64_data", torch.uint32, [1, (1 << 32) - 1]),
        (TensorProto.UINT64, "uint64_data", torch.uint64, [1, (1 << 64) - 1]),
    ],
)
def test_lists_of_every_type_are_read(
    kind: int, field: str, dtype: torch.dtype, values: list[float], tmp_path: Path
) -> None:
    made = tiny.perceptron()
    listed = made.graph.initializer.add(name="listed", data_type=kind, dims=[16])
    getattr(listed, field).extend(values * 8)

    read = read_graph(tiny.save(made, tmp_path / "a.onnx")).tensors["listed"]

    assert (read.dtype, read.tolist()) == (dtype, values * 8)


def test_elements_of_four_bits_are_kept_as_bytes(tmp_path: Path) -> None:
    made = tiny.perceptron()
    packed = bytes(range(16))
    made.graph.initializer.add(
        name="nibbles", data_type=TensorProto.UINT4, dims=[4, 8], raw_data=packed
    )

    graph = read_graph(tiny.save(made, tmp_path / "a.onnx"))

    assert bytes(graph.tensors["nibbles"].tolist()) == packed
    assert fill_graph(graph.without(frozenset(graph.tensors)), graph.tensors) == made


def test_elements_in_another_file_are_read(tmp_path: Path) -> None:
    graph = read_graph(tiny.external(tiny.perceptron(), tmp_path / "a.onnx"))

    assert graph.files == (tmp_path / "a.onnx", tmp_path / "weights.bin")
    filled = fill_graph(graph.without(frozenset(graph.tensors)), graph.tensors)
    assert filled == tiny.perceptron()


def test_the_hubs_cache_is_read(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    tiny.external(tiny.perceptron(), blobs / "0a")
    (snapshot / "model.onnx").symlink_to("../../blobs/0a")
    (snapshot / "weights.bin").symlink_to("../../blobs/weights.bin")

    graph = read_graph(snapshot / "model.onnx")

    np.testing.assert_array_equal(graph.tensors["w1"], tiny.random(48, 64, seed=1) / 7)


def test_large_graphs_get_a_second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_BYTES", 5000)
    target = tmp_path / "b.onnx"

    size = write_graph(tiny.perceptron(), target, sound=True)

    beside = tmp_path / "b.onnx.data"
    assert size == target.stat().st_size + beside.stat().st_size
    assert target.stat().st_size < 5000
    graph = read_graph(target)
    assert fill_graph(graph.without(frozenset(graph.tensors)), graph.tensors) == tiny.perceptron()


def test_tensors_of_another_shape_are_refused(tmp_path: Path) -> None:
    graph = read_graph(tiny.save(tiny.perceptron(), tmp_path / "a.onnx"))
    skeleton = graph.without(frozenset(graph.tensors))

    with pytest.raises(CorruptError, match=r"'w1' is \[64, 48\] float32, the graph has \[48, 64\]"):
        fill_graph(skeleton, graph.tensors | {"w1": graph.tensors["w1"].T})
    with pytest.raises(CorruptError, match="no tensor 'w9'"):
        fill_graph(skeleton, {"w9": torch.zeros(2)})
    with pytest.raises(CorruptError, match="carries a damaged ONNX graph"):
        fill_graph(b"\x08", {})


def test_missing_elements_are_a_fault(tmp_path: Path) -> None:
    graph = read_graph(tiny.save(tiny.perceptron(), tmp_path / "a.onnx"))
    incomplete = fill_graph(graph.without(frozenset(graph.tensors)), {})

    with pytest.raises(CorruptError, match="graph is not sound: "):
        write_graph(incomplete, tmp_path / "b.onnx", sound=True)
    assert not (tmp_path / "b.onnx").exists()


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)

    with pytest.raises(UsageError, match=r"optional extra: pip install 'artpack\[onnx\]'"):
        read_graph(path)
