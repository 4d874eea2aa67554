"""The example of a voice detector: with a tiny graph of its kind, and with the real one."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper

from examples import onnx_voice
from tests.graphs import tiny


def tiny_detector() -> ModelProto:
    nodes = [
        helper.make_node("MatMul", ["input", "front"], ["a"]),
        helper.make_node("Tanh", ["a"], ["b"]),
        helper.make_node("Unsqueeze", ["b", "axis"], ["steps"]),
        helper.make_node(
            "LSTM", ["steps", "w", "r", "", "", "h", "c"], ["y", "hn", "cn"], hidden_size=128
        ),
        helper.make_node("MatMul", ["y", "head"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["speech"]),
    ]
    state: list[int | str] = [1, 1, 128]
    weights: dict[str, NDArray[np.generic]] = {
        "front": tiny.random(576, 32, seed=1),
        "axis": np.array([1]),
        "w": tiny.random(1, 512, 32, seed=2) / 6,
        "r": tiny.random(1, 512, 128, seed=3) / 11,
        "head": tiny.random(128, 1, seed=4) / 2,
    }
    inputs: dict[str, list[int | str]] = {"input": ["steps", 576], "h": state, "c": state}
    outputs: dict[str, list[int | str]] = {"speech": ["steps", 1, 1, 1], "hn": state, "cn": state}
    return tiny.model(tiny.graph(nodes, inputs, outputs, weights))


def test_tiny(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_voice, "SECONDS", 1)
    source = tiny.save(tiny_detector(), tmp_path / "tiny.onnx")

    size, change = onnx_voice.pack(source, tmp_path, budget=48_000)

    assert 40_000 < size <= 48_000
    assert change < 0.03
    assert f" -> {size:,} bytes" in capsys.readouterr().out


@pytest.mark.slow
def test_real(tmp_path: Path) -> None:
    size, change = onnx_voice.pack(onnx_voice.find_model(tmp_path), tmp_path)

    assert size <= onnx_voice.BUDGET
    assert change < 0.05
