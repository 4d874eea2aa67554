"""Several processes learn and score what one would."""

from pathlib import Path

import pytest

from tests.evaluation.scoring.test_ranks import run_alone_and_together


def test_two_processes_adapt_as_one_does(tmp_path: Path) -> None:
    script = Path(__file__).with_name("adapt_on_ranks.py")
    alone, pair = run_alone_and_together(script, tmp_path)
    assert alone.keys() == pair.keys()
    for way, numbers in alone.items():
        assert pair[way] == pytest.approx(numbers, rel=1e-5), way
