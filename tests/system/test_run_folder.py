"""Run folders: what is kept, what is used again, and what is never touched."""

import errno
import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from artpack.system import run_folder
from artpack.system.run_folder import LEAST_S, MARK, RunFolder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.run"


@pytest.fixture
def said() -> list[str]:
    return []


def kept(path: Path, value: object = 5, inputs: object = "a") -> RunFolder:
    folder = RunFolder(path, "compress")
    folder.keep_json("size", inputs, value, seconds=LEAST_S)
    return folder


def result_in(path: Path) -> Path:
    (result,) = (file for file in path.iterdir() if file.name != MARK)
    return result


def test_a_result_is_found_by_its_inputs_alone(path: Path, said: list[str]) -> None:
    kept(path)
    folder = RunFolder(path, "compress", said=said.append)
    assert folder.has_results
    assert folder.find_json("size", "a") == 5
    assert folder.find_json("size", "b") is None
    assert folder.find_json("loss", "a") is None
    assert said == [f"going on from {path}"]
    folder.remove()
    assert not path.exists()


def test_what_took_no_time_makes_no_folder(path: Path) -> None:
    RunFolder(path, "compress").keep_json("size", "a", 5, seconds=LEAST_S / 2)
    assert not path.exists()


def test_a_newer_result_takes_the_place_of_the_older(path: Path) -> None:
    kept(path, 5)
    kept(path, 6)
    result_in(path)
    assert RunFolder(path, "compress").find_json("size", "a") == 6


@pytest.mark.parametrize("damage", [b"", b"6", b"\xff", b"[" * 10_000])
def test_damaged_results_are_not_used_and_that_is_said(
    path: Path, said: list[str], damage: bytes
) -> None:
    kept(path)
    result = result_in(path)
    result.write_bytes(damage)
    folder = RunFolder(path, "compress", said=said.append)
    assert folder.find_json("size", "a") is None
    assert said == [f"{result}: damaged, and not used"]
    folder.remove()
    assert not path.exists()


def test_links_are_not_followed(path: Path, tmp_path: Path) -> None:
    kept(path)
    result = result_in(path)
    result.rename(tmp_path / "5")
    result.symlink_to(tmp_path / "5")
    folder = RunFolder(path, "compress")
    assert folder.find("size", "a") is None
    folder.remove()
    assert (tmp_path / "5").read_bytes() == b"5"


def test_results_of_other_inputs_are_left_alone(path: Path, said: list[str]) -> None:
    kept(path, inputs="others")
    folder = RunFolder(path, "compress", said=said.append)
    assert folder.find_json("size", "a") is None
    folder.keep_json("size", "a", 5, seconds=LEAST_S)
    folder.remove()
    assert said == [f"{path}: holds what is not of this run, and is left there"]
    assert RunFolder(path, "compress").find_json("size", "others") == 5
    assert RunFolder(path, "compress").find_json("size", "a") is None


@pytest.mark.parametrize("mark", [None, "", "[]", "[" * 5000, json.dumps({"job": "train"})])
def test_folders_of_others_are_neither_used_nor_changed(
    path: Path, said: list[str], mark: str | None
) -> None:
    path.mkdir()
    (path / "mine").write_text("mine")
    if mark is not None:
        (path / MARK).write_text(mark)
    before = sorted(path.iterdir())
    folder = RunFolder(path, "compress", said=said.append)
    folder.keep_json("size", "a", 5, seconds=LEAST_S)
    assert folder.find_json("size", "a") is None
    assert not folder.has_results
    folder.remove()
    assert sorted(path.iterdir()) == before
    assert said == [f"{path}: not the run folder of this command, and not used"]


def test_files_and_links_in_its_place_are_not_used(path: Path, tmp_path: Path) -> None:
    kept(tmp_path / "real")
    path.symlink_to("real")
    assert RunFolder(path, "compress").find_json("size", "a") is None
    path.unlink()
    path.write_text("mine")
    kept(path).remove()
    assert path.read_text() == "mine"


def test_other_files_beside_results_stay(path: Path, said: list[str]) -> None:
    kept(path)
    (path / "mine").write_text("mine")
    folder = RunFolder(path, "compress", said=said.append)
    assert folder.find_json("size", "a") == 5
    folder.remove()
    assert sorted(file.name for file in path.iterdir()) == ["mine", MARK]


def test_what_a_kill_has_left_goes_too(path: Path) -> None:
    folder = kept(path)
    name = f".{result_in(path).name[:60]}.5.tmp"
    (path / name).write_text("half")
    kept(path, 6)
    assert not (path / name).exists()
    (path / name).write_text("half")
    folder.remove()
    assert not path.exists()


@pytest.mark.parametrize("before", [(), ("earlier",)])
def test_a_full_disk_is_said_once_and_ends_nothing(
    path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch, before: tuple[str, ...]
) -> None:
    for inputs in before:
        kept(path, inputs=inputs)

    def full(file: Path, _: Iterable[bytes]) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    monkeypatch.setattr(run_folder, "write_atomically", full)
    folder = RunFolder(path, "compress", said=said.append)
    for inputs in "ab":
        folder.keep_json("size", inputs, 5, seconds=LEAST_S)
    assert said == [f"{path}: no space left on device: nothing more is kept on the way"]
    assert path.exists() == bool(before)
    assert folder.has_results == bool(before)


def test_sums_are_due_now_and_then(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    folder = RunFolder(path, "compress")
    assert not folder.is_due()
    now[0] = run_folder.EVERY_S
    assert folder.is_due()
    folder.keep("sums", "a", lambda: _slowly(now), seconds=now[0])
    now[0] += 1.5 * run_folder.EVERY_S
    assert not folder.is_due()
    now[0] += 0.5 * run_folder.EVERY_S
    assert folder.is_due()


def _slowly(now: list[float]) -> list[bytes]:
    now[0] += 60
    return [b"sums"]
