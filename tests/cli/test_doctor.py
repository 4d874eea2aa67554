"""``artpack doctor``, and what shells are told of the commands."""

import json

import pytest
from artpack_cli.main import COMMANDS
from artpack_cli.main import artpack as group
from click.shell_completion import BashComplete

from artpack.api import self_test
from tests.cli.conftest import Run


def test_doctor_says_what_there_is(run: Run) -> None:
    lines = run("doctor").stdout.splitlines()
    assert lines[0].startswith("artpack ")
    assert "decoders work" in lines[-1]
    assert json.loads(run("doctor", "--json").stdout)["passed"] is True


def test_doctor_fails_with_a_decoder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "_layout", lambda *_: False)
    result = run("doctor")
    assert result.returncode == 1
    assert "layout rows FAILED: gives back something else" in result.stdout
    assert "self-test         FAILED: " in result.stdout


def completions(*words: str) -> list[str]:
    complete = BashComplete(group, {}, "artpack", "_ARTPACK_COMPLETE")
    *done, last = words
    return [item.value for item in complete.get_completions(done, last)]


def test_a_shell_completes_commands_options_and_choices() -> None:
    assert completions("") == [*COMMANDS]
    assert completions("inspect", "--h") == ["--html", "--help"]
    assert completions("compress", "--profile", "") == ["fast", "default", "max"]
