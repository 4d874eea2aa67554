"""ONNX graphs through artifacts and back."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, load

import artpack
from artpack.errors import UsageError
from artpack.graphs import read_graph
from tests.graphs import tiny


def outputs_of(made: ModelProto | Path) -> list[np.ndarray]:
    graph = load(made) if isinstance(made, Path) else made
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options)
    inputs = tiny.inputs_of(graph, count=1)
    found: list[np.ndarray] = session.run(None, {name: one[0] for name, one in inputs.items()})
    return found


@pytest.mark.parametrize("recipe", ["lossless", "int8", "frontier"])
@pytest.mark.parametrize("name", tiny.GRAPHS)
def test_round_trip(name: str, recipe: str, tmp_path: Path) -> None:
    source = tiny.save(tiny.GRAPHS[name](), tmp_path / "a.onnx")
    packed, target = tmp_path / "a.artpack", tmp_path / "b.onnx"
    artpack.compress(source, recipe=recipe, profile="fast").save(packed)

    count, size = artpack.unpack(packed, target)

    tensors, graph = artpack.load(packed), read_graph(target)
    assert (count, size) == (len(tensors), target.stat().st_size)
    assert graph.tensors.keys() == tensors.keys()
    for one, tensor in tensors.items():
        assert torch.equal(graph.tensors[one], tensor)
    before = read_graph(source)
    assert graph.without(frozenset(tensors)) == before.without(frozenset(tensors))
    close = {"lossless": 0, "int8": 0.1, "frontier": 1.5}[recipe]
    for after, exact in zip(outputs_of(target), outputs_of(source), strict=True):
        np.testing.assert_allclose(after, exact, atol=close * max(1, float(np.abs(exact).max())))


def test_bytes_come_back_without_loss(tmp_path: Path) -> None:
    source = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    artpack.compress(source, recipe="lossless", profile="fast").save(tmp_path / "a.artpack")

    artpack.unpack(tmp_path / "a.artpack", tmp_path / "b.onnx")

    assert (tmp_path / "b.onnx").read_bytes() == source.read_bytes()


def test_quantized_tensors_stay_as_they_are(tmp_path: Path) -> None:
    source = tiny.save(tiny.quantized(), tmp_path / "a.onnx")
    result = artpack.compress(source, recipe="int4", profile="fast")
    result.save(tmp_path / "a.artpack")

    before, after = read_graph(source).tensors, artpack.load(tmp_path / "a.artpack")

    assert not torch.equal(before["w3"], after["w3"])
    for name in before.keys() - {"w3"}:
        assert torch.equal(before[name], after[name])
    assert any("a graph that is quantized already: codes" in note for note in result.notes)


def test_what_is_left_out_is_carried(tmp_path: Path) -> None:
    source = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    result = artpack.compress(source, recipe="lossless", profile="fast", exclude="w1|bias")
    result.save(tmp_path / "a.artpack")

    count, _ = artpack.unpack(tmp_path / "a.artpack", tmp_path / "b.onnx")

    assert count == 2
    assert (tmp_path / "b.onnx").read_bytes() == source.read_bytes()


def test_the_header_says_what_it_is(tmp_path: Path) -> None:
    source = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    result = artpack.compress(source, recipe="lossless", profile="fast")
    result.save(tmp_path / "a.artpack")

    with artpack.open(tmp_path / "a.artpack") as artifact:
        assert artifact.model == {"kind": "onnx", "sound": True}
        assert list(artifact.files) == ["model.onnx"]
    assert result.notes[0] == "model: an ONNX graph, carried without its weights"


def test_unsound_graphs_are_kept_as_they_are(tmp_path: Path) -> None:
    made = tiny.perceptron()
    made.graph.node[1].op_type = "NoSuchNode"
    source = tiny.save(made, tmp_path / "a.onnx")
    result = artpack.compress(source, recipe="lossless", profile="fast")
    result.save(tmp_path / "a.artpack")

    artpack.unpack(tmp_path / "a.artpack", tmp_path / "b.onnx")

    assert any(note.startswith("onnx.checker refuses this graph") for note in result.notes)
    assert (tmp_path / "b.onnx").read_bytes() == source.read_bytes()


def test_a_folder_gets_the_whole_graph(tmp_path: Path) -> None:
    source = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    result = artpack.compress(
        source, recipe="lossless", profile="fast", files={"doc/labels.txt": b"yes no"}
    )
    result.save(tmp_path / "a.artpack")

    count, size = artpack.unpack(tmp_path / "a.artpack", tmp_path / "folder")

    assert (count, size) == (4, source.stat().st_size + 6)
    assert (tmp_path / "folder" / "model.onnx").read_bytes() == source.read_bytes()
    assert (tmp_path / "folder" / "doc" / "labels.txt").read_bytes() == b"yes no"


def test_wrong_targets(tmp_path: Path) -> None:
    weights = {"w": torch.eye(32)}
    artpack.save(weights, tmp_path / "w.artpack", recipe="lossless", profile="fast")
    source = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    artpack.compress(source, recipe="lossless", profile="fast").save(tmp_path / "a.artpack")

    with pytest.raises(UsageError, match=r"holds no ONNX graph: unpack to \.safetensors"):
        artpack.unpack(tmp_path / "w.artpack", tmp_path / "b.onnx")
    with pytest.raises(UsageError, match="a graph says the dtypes of its tensors"):
        artpack.unpack(tmp_path / "a.artpack", tmp_path / "b.onnx", dtype=torch.float16)


def test_weights_can_be_had_without_the_graph(tmp_path: Path) -> None:
    source = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    artpack.compress(source, recipe="lossless", profile="fast").save(tmp_path / "a.artpack")

    artpack.unpack(tmp_path / "a.artpack", tmp_path / "b.safetensors")

    tensors = artpack.load(tmp_path / "a.artpack")
    assert tensors["w1"].shape == (48, 64)
    assert not artpack.verify(tmp_path / "a.artpack", against=source).faults


def test_graphs_are_not_scored(tmp_path: Path) -> None:
    source = tiny.save(tiny.perceptron(), tmp_path / "a.onnx")
    packed = artpack.compress(source, recipe="lossless", profile="fast")
    with pytest.raises(UsageError, match="holds an ONNX graph, which is not scored here"):
        artpack.evaluate(packed, tmp_path / "val.txt")
