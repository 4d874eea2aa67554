"""Archives of a program that runs outside."""

import shutil
import subprocess
from pathlib import Path

import pytest

from artpack.coding.codecs import Lrzip
from artpack.coding.codecs.rare import lrzip as codec_module
from artpack.errors import CorruptError, TruncatedError, UsageError

needs_lrzip = pytest.mark.skipif(
    not (shutil.which("lrzip") and shutil.which("prlimit")),
    reason="the program lrzip or prlimit is missing",
)

DATA = bytes(range(200)) * 50
HEADER = b"LRZI\0\6" + len(DATA).to_bytes(8, "little") + bytes(10)


@needs_lrzip
@pytest.mark.parametrize("options", [["-z", "-L", "9"], ["-z", "-p", "2"], ["-b"], ["-n"], []])
def test_archives_that_others_made_are_read(options: list[str], tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out.lrz"
    source.write_bytes(DATA)
    subprocess.run(["lrzip", *options, "-Q", "-o", target, source], check=True)
    assert Lrzip().decode(target.read_bytes(), size=len(DATA)) == DATA


@needs_lrzip
def test_archives_are_read_by_the_program_itself(tmp_path: Path) -> None:
    source, target = tmp_path / "in.lrz", tmp_path / "out"
    source.write_bytes(Lrzip().encode(DATA))
    subprocess.run(["lrzip", "-d", "-Q", "-o", target, source], check=True)
    assert target.read_bytes() == DATA


@needs_lrzip
def test_an_archive_that_lies_about_its_size_is_stopped_at_the_promised_size() -> None:
    lying = bytearray(Lrzip().encode(DATA))
    lying[codec_module._SIZE_FIELD] = (100).to_bytes(8, "little")
    with pytest.raises(CorruptError):
        Lrzip().decode(bytes(lying), size=100)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"LRZI\0\5" + HEADER[6:], "not an archive"),
        (HEADER[:22] + b"\1\0", "encrypted"),
        (HEADER[:6] + bytes(18), "does not state 10000 bytes"),
        (HEADER + HEADER, "second archive"),
    ],
)
def test_a_bad_header_is_refused_without_the_program(data: bytes, reason: str) -> None:
    with pytest.raises(CorruptError, match=reason):
        Lrzip().decode(data, size=len(DATA))


def test_less_than_a_header_is_truncated() -> None:
    with pytest.raises(TruncatedError):
        Lrzip().decode(HEADER[:-1], size=len(DATA))


@pytest.mark.parametrize(
    ("missing", "package"), [("lrzip", "package lrzip"), ("prlimit", "package util-linux")]
)
def test_a_missing_program_is_named_with_its_package(
    missing: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == missing else f"/bin/{name}")
    with pytest.raises(UsageError, match=f"{missing} is missing: install the .*{package}"):
        Lrzip().encode(DATA)
    with pytest.raises(UsageError, match=f"{missing} is missing"):
        Lrzip().decode(HEADER, size=len(DATA))


@needs_lrzip
def test_a_program_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_late(*_args: object, **fields: object) -> None:
        assert fields["timeout"] == 60 + len(DATA) / 50_000
        raise subprocess.TimeoutExpired("lrzip", 60)

    monkeypatch.setattr(subprocess, "run", too_late)
    with pytest.raises(CorruptError, match="cannot read this archive"):
        Lrzip().decode(HEADER, size=len(DATA))
    with pytest.raises(UsageError, match="the program failed"):
        Lrzip().encode(DATA)
