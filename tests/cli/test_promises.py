"""What the README promises of compress: the same bytes always, and all of them or none."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from artpack_cli.main import artpack, main

from artpack.demo import CHECKPOINT, write_demo
from tests.cli.conftest import Invoke, Run


def test_the_bytes_depend_on_neither_jobs_nor_hash_seed(run_alone: Run, checkpoint: Path) -> None:
    contents = set()
    for jobs, seed in (("1", "0"), ("2", "12345")):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = run_alone("compress", "ckpt.pt", "-o", "a.bin", "--jobs", jobs, env=environment)
        assert done.returncode == 0, done.stderr
        contents.add(checkpoint.with_name("a.bin").read_bytes())
    assert len(contents) == 1


def test_a_killed_compress_leaves_the_old_output_or_none(checkpoint: Path) -> None:
    """Kill at moments spread over a whole run; what is there is old, absent or sound."""
    target = checkpoint.with_name("a.bin")
    command = [sys.executable, "-m", "artpack_cli", "compress", "ckpt.pt", "-o", "a.bin"]
    started = time.monotonic()
    subprocess.run(command, cwd=checkpoint.parent, check=True, capture_output=True)
    whole_s = time.monotonic() - started
    complete = target.read_bytes()
    chance = random.Random(0)
    for old in (None, b"the old output", None, b"the old output"):
        target.unlink(missing_ok=True)
        if old is not None:
            target.write_bytes(old)
        process = subprocess.Popen(
            command, cwd=checkpoint.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(whole_s * chance.uniform(0.2, 1.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = target.read_bytes() if target.exists() else None
        assert found in (old, complete)


def test_an_interrupt_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(artpack, "main", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "artpack: interrupted; nothing was written\n"


def test_an_artifact_of_the_demo_gives_back_what_its_symbols_say(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trained checkpoint: packs, verifies, and unpacks bit for bit."""
    write_demo(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert invoke("compress", CHECKPOINT, "-o", "a.bin", "--profile", "fast").code == 0
    assert invoke("verify", "a.bin", "--against", CHECKPOINT).code == 0
