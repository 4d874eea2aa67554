"""Weights of tiny graphs, ready to be run."""

from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import ModelProto

from artpack.api.graph_data import GraphRun, start_graph
from artpack.checkpoint import open_checkpoint
from artpack.runners.onnx import BatchSource
from tests.graphs import tiny

Start = Callable[[ModelProto, BatchSource], GraphRun]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def started(made: ModelProto, source: BatchSource) -> GraphRun:
        with open_checkpoint(tiny.save(made, tmp_path / "a.onnx")) as checkpoint:
            assert checkpoint.graph is not None
            return start_graph(checkpoint, checkpoint.graph, source)

    return started
