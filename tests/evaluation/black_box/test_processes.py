"""Fresh processes: what an evaluator gives and says, and that it can leave nothing behind."""

from pathlib import Path

import numpy as np
import pytest

from artpack.errors import EvaluatorError, UsageError
from artpack.evaluation.black_box.processes import Command, FreshProcesses, Function
from artpack.evaluation.black_box.worker import isolates

PROGRAM = '''
import os, pathlib, subprocess, sys
import numpy as np

HERE = pathlib.Path(__file__).parent
calls = []

def constant(ids):
    calls.append(ids.size)
    return np.full(ids.size - 1, len(calls), np.float32), 17

def remembers(ids):
    """Count in every place that there is how often it was called."""
    remembered = 0
    for number, folder in enumerate((HERE, "/tmp", "/dev/shm", os.environ["TMPDIR"], ".")):
        file = pathlib.Path(folder) / "calls-NAME"
        try:
            remembered += file.exists()
            file.write_text("1")
        except OSError:
            pass
    return np.full(ids.size - 1, float(remembered))

def fails(ids):
    raise RuntimeError("no model here")

def text(ids):
    return np.array(["a"])

if __name__ == "__main__":
    ids = np.load(sys.argv[1])
    np.save(sys.argv[2], np.full(ids.size - 1, 2.5))
    for path in sys.argv[3:]:
        pathlib.Path(path).write_text("99 ")
'''
IDS = np.arange(20, dtype=np.uint32)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "strange.py"
    path.write_text(PROGRAM.replace("NAME", tmp_path.name))
    return path


def test_a_function_is_imported_anew_by_module_or_file(program: Path) -> None:
    for name in ("strange:constant", "strange.py:constant"):
        ask = FreshProcesses(Function(name))
        assert ask.takes_several
        answer = ask([IDS], "once")
        assert np.array_equal(answer.losses, np.ones(19))
        assert answer.claimed_bytes == 17
    answer = ask([IDS[:5], IDS], "twice")
    assert np.array_equal(answer.losses, np.full(19, 2.0))
    assert [run["run"] for run in ask.runs] == ["once", "twice"]
    assert all(10**6 < int(run["peak_bytes"]) < 10**9 for run in ask.runs)
    assert Function("strange:constant").files() == [Path("strange.py")]
    assert Function("strange.py:constant").files() == [Path("strange.py")]


@pytest.mark.parametrize("line", ["python strange.py", "python strange.py {tokens} {losses}"])
def test_a_command_reads_and_writes_files(program: Path, line: str) -> None:
    ask = FreshProcesses(Command(line))
    assert not ask.takes_several
    assert np.array_equal(ask([IDS], "once").losses, np.full(19, 2.5))
    assert ask.evaluator.files() == [Path("strange.py")]


def test_a_command_may_count_bytes(program: Path) -> None:
    ask = FreshProcesses(Command("python strange.py {tokens} {losses} {bytes}"))
    assert ask([IDS], "once").claimed_bytes == 99


@pytest.mark.skipif(not isolates(), reason="this system has no Landlock")
def test_no_run_remembers_another(program: Path) -> None:
    ask = FreshProcesses(Function("strange.py:remembers"))
    for _ in range(2):
        assert not ask([IDS], "again").losses.any()
    assert sorted(path.name for path in program.parent.iterdir()) == ["strange.py"]


@pytest.mark.parametrize(
    ("evaluator", "said"),
    [
        (Function("os:getcwd"), "exit code 1: TypeError"),
        (Function("strange:fails"), "exit code 1: RuntimeError: no model here"),
        (Function("strange:text"), "losses are no array of real numbers"),
        (Function("strange:missing"), "no attribute 'missing'"),
        (Function("no_such_module:f"), "No module named 'no_such_module'"),
        (Command("true"), "wrote no .npy array of losses"),
        (Command("python strange.py {tokens} {losses} nowhere/x"), "FileNotFoundError"),
        (Command("false"), "exit code 1: it said nothing"),
    ],
)
def test_evaluators_that_fail(program: Path, evaluator: Function | Command, said: str) -> None:
    with pytest.raises(EvaluatorError, match=said) as failed:
        FreshProcesses(evaluator)([IDS], "once")
    assert str(failed.value).endswith(" (run 1: once)")


@pytest.mark.parametrize("name", ["", "module", "module:", ":function", "a:b c", "nowhere.py:f"])
def test_names_of_no_function(name: str) -> None:
    with pytest.raises(UsageError, match=r"^`evaluator`: "):
        Function(name)


@pytest.mark.parametrize("line", ["", "no-such-program x", "python 'x"])
def test_lines_of_no_command(line: str) -> None:
    with pytest.raises(UsageError, match=r"^`evaluator_command`: "):
        Command(line)
