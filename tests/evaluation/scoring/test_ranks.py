"""Several processes score what one would."""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import artpack
from artpack.evaluation.tokens.documents import by_document
from artpack.evaluation.windows.plan import shard, share_rows
from artpack.evaluation.windows.sliding import sliding
from artpack.system.ranks import Ranks

SCRIPT = Path(__file__).with_name("compare_on_ranks.py")
ROOT = Path(artpack.__file__).parents[1]


@given(st.integers(1, 5), st.integers(1, 7))
def test_shares_are_whole_batches_and_together_the_plan(world: int, batch_rows: int) -> None:
    ids = (np.arange(300) * 31 % 17).astype(np.uint16)
    for plan in (sliding(299, 16, 4), share_rows(by_document(ids, 16, 4))):
        shares = [shard(plan, Ranks(rank, world), batch_rows=batch_rows) for rank in range(world)]
        together = np.concatenate([share.windows for share in shares])
        assert sorted(together.tolist()) == sorted(plan.windows.tolist())
        batches = [set((share.rows // batch_rows).tolist()) for share in shares]
        assert sum(map(len, batches)) == len(set().union(*batches))


def run_alone_and_together(script: Path, folder: Path) -> tuple[Any, Any]:
    """Run a script in one process, and in two; return what each time the first one wrote."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [{**common, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
    alone, pair = folder / "alone.json", folder / "pair.json"
    run_together(script, [alone, pair, pair], [{}, *ranks])
    return json.loads(alone.read_text()), json.loads(pair.read_text())


def run_together(script: Path, outs: list[Path], environments: list[dict[str, str]]) -> None:
    """Run the script once an environment, all at the same time."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    common = {**os.environ, "PYTHONPATH": path}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(script), str(out)],
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


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [n for item in value.values() for n in numbers(item)]
    if isinstance(value, list):
        return [n for item in value for n in numbers(item)]
    return [value]


def test_two_processes_score_what_one_does(tmp_path: Path) -> None:
    one, two = run_alone_and_together(SCRIPT, tmp_path)
    assert (one["world"], two["world"]) == (1, 2)
    assert numbers(two["results"]) == pytest.approx(numbers(one["results"]), rel=1e-9, abs=1e-12)
