"""A minute of fuzzing, and that it sees what it looks for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from artpack.errors import UsageError
from tests.fuzz.__main__ import fuzz, main
from tests.fuzz.pool import Worker
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import Tally, feed

SEED = 20261201


def fed(read: Callable[[bytes], str], *, sealed: bool = False) -> Tally:
    """Feed one input, ``b"bad"``, to a reader of ``b"good"``."""
    tally = Tally(0)
    target = Target("one", lambda: [b"good"], lambda _draw, _data: b"bad", read, sealed=sealed)
    feed(target, 0, 0, tally)
    return tally


def refuse(data: bytes) -> str:
    if data == b"bad":
        raise UsageError("no good")
    return "good"


def test_refusals_and_contents_are_told_apart() -> None:
    assert fed(refuse).verdicts == {"UsageError": 1}
    assert fed(lambda _: "same").verdicts == {"equal": 1}
    assert fed(bytes.decode).verdicts == {"other": 1}


def fail(data: bytes) -> str:
    if data == b"bad":
        raise RecursionError("so deep")
    return "good"


def talk(data: bytes) -> str:
    if data == b"bad":
        raise UsageError("two\nlines")
    return "good"


def test_faults_are_caught() -> None:
    answers = iter("abc")
    changing = fed(lambda data: data.decode() if data == b"good" else next(answers))
    cases = (
        (fed(fail), "RecursionError: so deep"),
        (fed(talk), "not one line"),
        (fed(bytes.decode, sealed=True), "something else was read"),
        (changing, "differs from time to time"),
    )
    for tally, told in cases:
        assert tally.verdicts == {"FAULT": 1}
        assert told in tally.failures[0][1]


def test_the_death_of_a_worker_is_named_and_the_next_goes_on_behind_it() -> None:
    result = Tally(0)
    with Worker("tests.fuzz.dying") as worker:
        worker.feed("dying", 1, 60.0, result)
        first = result.first
        worker.feed("dying", 1, 60.0, result)

    deaths = [index for index, told in result.failures if "Fatal Python error: Aborted" in told]
    assert deaths == [first - 1, result.first - 1]
    assert result.verdicts["FAULT"] == len(deaths) == 2


def test_an_input_is_the_same_in_every_run() -> None:
    target = TARGETS["checkpoint-torch-legacy"]
    assert target.input_at(3, 5) == target.input_at(3, 5) != target.input_at(3, 6)


def test_a_kept_file_is_fed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"min_rows")
    assert main(["--target", "override", "--replay", str(path)]) == 0
    assert capsys.readouterr().out.startswith("refused: RecipeError: ")


def test_a_minute_of_damaged_files_finds_no_fault() -> None:
    """The same ones each time: only a change breaks it; ``make nightly`` draws others."""
    failures = fuzz(list(TARGETS), seconds=60, seed=SEED, jobs=1, folder=Path("build/fuzz"))
    assert not failures, "\n\n".join(failures)
