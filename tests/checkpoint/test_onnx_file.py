"""ONNX graphs as checkpoints."""

from pathlib import Path

import numpy as np
import pytest

from artpack.checkpoint import Bank, Tie, open_checkpoint
from artpack.checkpoint.onnx_file import QUANTIZED
from artpack.checkpoint.sniff import Kind, sniff
from artpack.errors import UsageError
from tests.graphs import tiny


@pytest.mark.parametrize("name", tiny.GRAPHS)
def test_graphs_are_told_by_their_content(name: str, tmp_path: Path) -> None:
    assert sniff(tiny.save(tiny.GRAPHS[name](), tmp_path / "blob")) is Kind.ONNX


def test_matrices_are_stored_by_outputs(tmp_path: Path) -> None:
    with open_checkpoint(tiny.save(tiny.perceptron(), tmp_path / "a.onnx")) as checkpoint:
        shapes = {info.name: info.shape for info in checkpoint.tensors}
        first = checkpoint.read("w1")

    assert shapes == {"w1": (64, 48), "w2": (40, 64), "w3": (33, 40), "bias": (33,)}
    assert {bank.name for bank in checkpoint.banks} == {"w1", "w3"}
    np.testing.assert_array_equal(first, tiny.random(48, 64, seed=1).T / 7)


def test_directions_are_matrices_of_their_own(tmp_path: Path) -> None:
    with open_checkpoint(tiny.save(tiny.recurrent(), tmp_path / "a.onnx")) as checkpoint:
        assert checkpoint.banks == (Bank("w", ("w.0", "w.1")), Bank("r", ("r.0", "r.1")))


def test_copies_are_stored_once(tmp_path: Path) -> None:
    with open_checkpoint(tiny.save(tiny.tied(), tmp_path / "a.onnx")) as checkpoint:
        assert checkpoint.ties == (Tie("copy", "table"),)
        assert [info.name for info in checkpoint.tensors] == ["table"]


def test_quantized_tensors_are_noted(tmp_path: Path) -> None:
    with open_checkpoint(tiny.save(tiny.quantized(), tmp_path / "a.onnx")) as checkpoint:
        assert checkpoint.notes == (f"{QUANTIZED}: codes, scales, w2, w2_scales, zeros",)
        assert checkpoint.exact == {"codes", "scales", "w2", "w2_scales", "zeros"}


def test_names_are_the_graphs_own(tmp_path: Path) -> None:
    made = tiny.perceptron()
    made.graph.initializer[0].name = made.graph.node[0].input[1] = "module.w1"
    path = tiny.save(made, tmp_path / "a.onnx")

    with open_checkpoint(path) as checkpoint:
        assert checkpoint.names[0] == "module.w1"
    with pytest.raises(UsageError, match=r"`strip_prefix`: the names in a\.onnx are its own"):
        open_checkpoint(path, strip_prefix="module")
    with pytest.raises(UsageError, match=r"a\.onnx holds a single state dict"):
        open_checkpoint(path, key="model")


def test_the_only_graph_of_a_folder_is_taken(tmp_path: Path) -> None:
    tiny.external(tiny.perceptron(), tmp_path / "net.onnx")
    (tmp_path / "weights.bin").rename(tmp_path / "weights.data")
    tiny.external(tiny.perceptron(), tmp_path / "net.onnx", "weights.data")
    (tmp_path / "weights.bin").unlink()

    with open_checkpoint(tmp_path) as checkpoint:
        assert checkpoint.notes[0] == "took net.onnx of the folder"
