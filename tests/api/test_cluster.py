"""A cluster of processes: the same bytes as here, whoever dies meanwhile."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from artpack_cli.main import artpack as command
from click.testing import CliRunner
from distributed import LocalCluster
from torch import Tensor, nn

import artpack
from artpack import Calibration, Cluster, CompressInputs, UsageError
from artpack.calibration.file import KINDS

PROCESSES = 2


@pytest.fixture(scope="module")
def local() -> Iterator[LocalCluster]:
    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=PROCESSES,
        threads_per_worker=1,
        processes=True,
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=50,
    ) as started:
        yield started


@pytest.fixture
def cluster(local: LocalCluster) -> Iterator[Cluster]:
    with Cluster(local.scheduler_address) as joined:
        yield joined


class Killer:
    """Progress that kills a worker, once, when a phase begins."""

    def __init__(self, local: LocalCluster, phase: str) -> None:
        self.local, self.phase, self.killed = local, phase, 0

    def __call__(self, phase: str, done: int, *_: object, **__: object) -> None:
        if phase == self.phase and done and not self.killed:
            self.killed = next(iter(self.local.workers.values())).pid
            os.kill(self.killed, signal.SIGKILL)


def work(number: int, log: Path) -> int:
    """Square a number, and note that; number 3 kills its process the first time."""
    with log.open("a") as file:
        file.write(f"{number}\n")
    if number == 3 and log.read_text().split().count("3") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def test_a_worker_that_dies_costs_its_tasks_and_nothing_else(
    cluster: Cluster, tmp_path: Path
) -> None:
    finished: list[int] = []
    tasks = [(number, tmp_path / "log") for number in range(12)]
    assert list(cluster.map(work, tasks, finished.append)) == [n * n for n in range(12)]
    assert sorted(set(finished)) == list(range(12))
    done = (tmp_path / "log").read_text().split()
    assert done.count("3") == 2
    assert len(done) - len(tasks) <= 2 * PROCESSES


def test_an_error_comes_back_as_it_is(cluster: Cluster) -> None:
    with pytest.raises(artpack.CheckpointError, match=r"tensor 'b\.weight'"):
        artpack.compress(
            {"a.weight": torch.ones(64, 64), "b.weight": torch.full((64, 64), torch.nan)},
            recipe="frontier",
            jobs=cluster,
        )


def test_what_workers_do_not_see_is_sent(cluster: Cluster, tmp_path: Path) -> None:
    seen, gone = tmp_path / "seen", tmp_path / "gone"
    seen.write_bytes(b"here")
    assert cluster.sees([seen])
    assert not cluster.sees([])
    assert not cluster.sees([seen, gone])


def weights() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {f"{n}.weight": torch.randn(96, 64, generator=draw) for n in range(4)}


@pytest.mark.slow
def test_bytes_of_weights_in_memory_are_the_same(cluster: Cluster) -> None:
    here = artpack.compress(weights(), recipe="frontier", profile="fast")
    there = artpack.compress(weights(), recipe="frontier", profile="fast", jobs=cluster)
    assert there.content() == here.content()


def calibrated(folder: Path, **how: Any) -> Calibration:
    return artpack.calibrate(folder / "ckpt.pt", folder / "calib.bin", window_tokens=32, **how)


def check_equal(here: Calibration, there: Calibration) -> None:
    for kind in KINDS:
        ours, theirs = getattr(here, kind), getattr(there, kind)
        assert list(ours) == list(theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_calibration_is_the_same_and_bytes_are_when_a_worker_dies(
    small: Path, cluster: Cluster, local: LocalCluster
) -> None:
    known = calibrated(small, jobs=cluster)
    check_equal(known, calibrated(small))
    choice: dict[str, Any] = {"calibration": known, "recipe": "frontier", "profile": "fast"}
    killer = Killer(local, "quantizing")
    there = artpack.compress(small / "ckpt.pt", **choice, jobs=cluster, progress=killer)
    assert killer.killed
    assert there.content() == artpack.compress(small / "ckpt.pt", **choice).content()


@pytest.mark.slow
def test_a_calibration_is_the_same_when_a_worker_dies(
    small: Path, cluster: Cluster, local: LocalCluster
) -> None:
    killer = Killer(local, "calibrating")
    there = calibrated(small, jobs=cluster, progress=killer)
    assert killer.killed
    check_equal(there, calibrated(small))


@pytest.mark.slow
def test_a_module_is_sent(cluster: Cluster) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 4))
    batches = [torch.randn(5, 8) for _ in range(20)]
    here = artpack.calibrate(module, batches=batches)
    there = artpack.calibrate(module, batches=batches, jobs=cluster)
    for name in ("0.weight", "2.weight"):
        assert torch.equal(here.hessians[name], there.hessians[name])
        assert torch.equal(here.output_covariances[name], there.output_covariances[name])


@pytest.mark.slow
def test_a_sweep_makes_its_files_there(small: Path, cluster: Cluster) -> None:
    def swept(**how: Any) -> list[tuple[str, int | None, int, float]]:
        choice = CompressInputs(
            source=small / "ckpt.pt", calibration_tokens=small / "calib.bin", **how
        )
        curve = artpack.sweep(choice, [40_000], profile="fast")
        return [(one.recipe, one.budget, one.bytes, one.kl_nats) for one in curve.points]

    assert swept(jobs=cluster) == swept()


def test_the_command_line_says_where_its_workers_are(
    small: Path, local: LocalCluster, tmp_path: Path
) -> None:
    def run(*more: str) -> bytes:
        target = tmp_path / "a.artpack"
        words = ["compress", str(small / "ckpt.pt"), "-o", str(target), "--profile", "fast", *more]
        done = CliRunner().invoke(command, words)
        assert not done.exit_code, done.output
        return target.read_bytes()

    assert run("--scheduler", local.scheduler_address) == run()
    refused = CliRunner().invoke(
        command, ["compress", str(small / "ckpt.pt"), "--jobs", "2", "--scheduler", "tcp://x:1"]
    )
    assert isinstance(refused.exception, UsageError)
