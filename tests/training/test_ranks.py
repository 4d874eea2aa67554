"""Two processes that share the batches of a step train the model that one does."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import torch

import artpack

SCRIPT = Path(__file__).with_name("train_on_ranks.py")
ROOT = Path(artpack.__file__).parents[1]


def run_together(data: Path, outs: list[Path], environments: list[dict[str, str]]) -> None:
    """Run the script once an environment, all at the same time."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    common = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(SCRIPT), str(data), str(out)],
                    env={**common, **environment},
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for out, environment in zip(outs, environments, strict=True)
        ]
        for process in processes:
            stack.callback(process.kill)
        for process in processes:
            error = process.communicate(timeout=120)[1]
            assert process.returncode == 0, error


def test_two_processes_are_one(data_folder: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [{**world, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    alone, together = tmp_path / "alone.pt", tmp_path / "together.pt"
    run_together(data_folder, [alone, together, tmp_path / "unused"], [{}, *ranks])
    one, two = (torch.load(path, weights_only=True) for path in (alone, together))
    assert (one["world"], two["world"]) == (1, 2)
    # Of two gradients the sum does not depend on the order, so nothing at all differs.
    assert one["losses"] == two["losses"]
    for name, weight in one["weights"].items():
        assert weight.equal(two["weights"][name]), name
