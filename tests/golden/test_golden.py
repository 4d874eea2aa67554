"""The golden script passes what is right and fails what is wrong, missing or unknown."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.golden.__main__ import main

CASES = Path(__file__).with_name("cases")
TINY = CASES / "tiny"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Return a function that runs the script in this process: exit code and output."""

    def call(*arguments: str | Path) -> tuple[int, str]:
        code = main([*map(str, arguments)])
        output, errors = capsys.readouterr()
        assert not errors
        return code, output

    threads = torch.get_num_threads()
    yield call
    torch.set_num_threads(threads)


def test_it_is_a_program(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).parents[1] / "golden.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "nothing to check here" in done.stdout


@pytest.fixture
def case(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "tiny"))


def test_our_own_case_passes(run: Run) -> None:
    code, output = run(TINY)
    assert (code, "FAIL" in output) == (0, False), output
    assert output.endswith(" passed, 0 failed\n")


@pytest.mark.parametrize("system", ["pr1123", "pr1934", "pr2086", "pr576", "pr826"])
def test_reduced_cases_of_published_systems_pass(run: Run, system: str) -> None:
    code, output = run(CASES / f"{system}.tar.zst")
    assert (code, "FAIL" in output) == (0, False), output


def test_another_logit_fails(run: Run, case: Path) -> None:
    with np.load(case / "io.npz") as io:
        arrays = dict(io)
    arrays["logits"][0, 3, 5] += 1e-3
    np.savez(case / "io.npz", **arrays)
    code, output = run(case)
    assert code == 1
    assert "FAIL  " in output
    assert "io.npz logits: largest difference 1.00e-03, tolerance 2e-05" in output


def test_another_score_fails(run: Run, case: Path) -> None:
    evals = json.loads((case / "evals.json").read_text())
    evals["sliding"]["val_bpb"] += 2e-5
    evals["documents"]["bytes"] += 1
    (case / "evals.json").write_text(json.dumps(evals))
    code, output = run(case, "--only", "scoring")
    assert code == 1
    assert output.count("FAIL") == 2


def test_a_value_that_is_no_number_fails(run: Run, case: Path) -> None:
    with np.load(case / "io.npz") as io:
        arrays = dict(io)
    arrays["losses"][0, 0] = np.nan
    np.savez(case / "io.npz", **arrays)
    assert run(case, "--only", "models")[0] == 1


def test_a_tensor_too_few_fails(run: Run, case: Path) -> None:
    config = json.loads((case / "config.json").read_text())
    (case / "config.json").write_text(json.dumps({**config, "num_layers": 6}))
    code, output = run(case, "--only", "models")
    assert code == 1
    assert "missing blocks.4" in output


def test_what_no_check_knows_fails_unless_an_area_is_named(run: Run, case: Path) -> None:
    (case / "riddle.npz").write_bytes(b"")
    with np.load(case / "io.npz") as io:
        np.savez(case / "io.npz", **dict(io), riddle=np.zeros(1))
    code, output = run(case)
    assert code == 1
    assert output.count("riddle: there is no check for this") == 1
    assert output.count("riddle.npz: there is no check for this") == 1
    assert run(case, "--only", "models,scoring")[0] == 0


def test_a_setting_that_no_check_uses_fails(run: Run, case: Path) -> None:
    evals = json.loads((case / "evals.json").read_text())
    evals["arguments"]["window_shape"] = "round"
    evals["sliding"]["riddle"] = [{"answer": 1}]
    (case / "evals.json").write_text(json.dumps(evals))
    code, output = run(case)
    assert code == 1
    assert "evals.json arguments.window_shape: there is no check for this" in output
    assert "evals.json sliding.riddle.0.answer: there is no check for this" in output


def test_another_shape_fails_and_what_follows_is_checked(run: Run, case: Path) -> None:
    with np.load(case / "io.npz") as io:
        arrays = dict(io)
    arrays["losses"] = arrays["losses"][:, :-1]
    np.savez(case / "io.npz", **arrays)
    (case / "val.npy").write_bytes(b"")
    code, output = run(case)
    assert code == 1
    assert "io.npz losses: shape" in output
    assert "tiny scoring: " in output
    assert "a check ended early" in output


def test_a_folder_without_a_case_fails(run: Run, tmp_path: Path) -> None:
    assert run(tmp_path)[0] == 1
    assert run(tmp_path / "none")[0] == 1
