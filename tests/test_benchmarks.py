"""The benchmarks run; what they measure is for people to read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")
def test_the_coding_benchmark_runs_on_a_few_symbols_and_its_claims_hold(tmp_path: Path) -> None:
    command = ["-m", "benchmarks.bench_coding", "--quick", "--json", "--csv", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert all(claim["holds"] for claim in report["claims"])
    rows = {(row["source"], row["pipeline"]): row for row in report["rows"]}
    gaussian = rows["gaussian", "rows|rans|stored"]
    assert gaussian["bytes"] == rows["gaussian", "auction"]["bytes"]
    assert 0 < gaussian["gap_percent"] < 0.5
    (csv,) = tmp_path.iterdir()
    assert len(csv.read_text().splitlines()) == 1 + len(report["rows"])
