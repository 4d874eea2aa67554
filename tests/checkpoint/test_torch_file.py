"""What torch.save wrote, and what only claims to be that."""

import os
import pathlib
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.torch_file import torch_source
from artpack.errors import CheckpointError

WEIGHTS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones((), dtype=torch.bool)}
IS_ZIP = {"zip": True, "legacy": False}


class RunsACommand:
    """Unpickling this without care runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def message_of(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def repack(
    source: Path,
    target: Path,
    change: Callable[[str, bytes], bytes | None],
    compression: int = zipfile.ZIP_STORED,
) -> None:
    """Write an archive again with its records changed; None leaves one out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            if (content := change(name, old.read(name))) is not None:
                new.writestr(name, content)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
@pytest.mark.parametrize("kind", IS_ZIP)
def test_tensors_come_back_from_both_formats_of_torch_save(
    tmp_path: Path, suffix: str, kind: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=IS_ZIP[kind])
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.names == ("a", "b")
        assert all(torch.equal(checkpoint.read(name), WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize("kind", IS_ZIP)
def test_a_zip_file_is_mapped_anew_and_the_older_format_is_kept(tmp_path: Path, kind: str) -> None:
    torch.save(WEIGHTS, tmp_path / "w.pt", _use_new_zipfile_serialization=IS_ZIP[kind])
    source = torch_source(tmp_path / "w.pt")
    first, second = source.load(), source.load()
    assert (first is second) is (kind == "legacy")
    assert ("read whole into memory" in "".join(first.notes)) is (kind == "legacy")


def test_an_archive_that_was_compressed_is_read_right(tmp_path: Path) -> None:
    # torch would map the compressed records as if they were the weights.
    weights = {"a": torch.zeros(100_000), "b": torch.rand(100_000)}
    torch.save(weights, tmp_path / "whole.pt")
    squeezed = tmp_path / "squeezed.pt"
    repack(tmp_path / "whole.pt", squeezed, lambda _, data: data, zipfile.ZIP_DEFLATED)
    with open_checkpoint(squeezed) as checkpoint:
        assert all(torch.equal(checkpoint.read(name), weights[name]) for name in weights)
        assert "read whole into memory" in checkpoint.notes[0]


@pytest.mark.parametrize("kind", IS_ZIP)
def test_a_pickle_that_runs_a_command_is_refused_and_not_run(tmp_path: Path, kind: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / "evil.pt"
    content = {"model": WEIGHTS, "evil": RunsACommand(f"touch {mark}")}
    torch.save(content, path, _use_new_zipfile_serialization=IS_ZIP[kind])
    message = message_of(path)
    assert message.startswith(f"wants {os.system.__module__}.system, and nothing but tensors")
    assert "torch.save(model.state_dict(), ...)" in message
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"model": WEIGHTS, "path": pathlib.PurePosixPath("x")}, "pathlib.PurePosixPath"),
    ],
    ids=["module", "path"],
)
def test_the_object_that_is_not_a_tensor_is_named(
    tmp_path: Path, content: object, wanted: str
) -> None:
    torch.save(content, tmp_path / "whole.pt")
    assert message_of(tmp_path / "whole.pt").startswith(f"wants {wanted}, ")


def test_a_script_module_is_refused_without_a_warning(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/constants.pkl", b"\x80\x02).")
        archive.writestr("script/data.pkl", b"\x80\x02).")
        archive.writestr("script/version", b"3\n")
    assert message_of(tmp_path / "script.pt").startswith("damaged, or not weights saved by")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a file of torch.save, it is empty"),
        (b"hello world\n", "not a file of torch.save, it starts with b'hell'"),
        (b"\x80\x02X", "damaged, or not weights saved by torch.save"),
        (b"\x80\x02\x94.", "damaged, or not weights saved by torch.save"),
        (
            b"PK\x03\x04 and no directory",
            "damaged, or not weights saved by torch.save (BadZipFile: ",
        ),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "odd.pt").write_bytes(content)
    assert message_of(tmp_path / "odd.pt").startswith(problem)


def test_a_zip_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("letter.txt", "hello")
    assert message_of(tmp_path / "zip.pt").startswith("damaged, or not weights saved by torch.save")


@pytest.mark.parametrize("kind", IS_ZIP)
def test_every_shortened_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "short.pt"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=IS_ZIP[kind])
    whole = path.read_bytes()
    for size in {*range(0, len(whole), 37), len(whole) - 1}:
        path.write_bytes(whole[:size])
        assert message_of(path)


@pytest.mark.parametrize("keep", [None, 1], ids=["missing", "short"])
def test_a_record_that_is_short_or_missing_is_refused(tmp_path: Path, keep: int | None) -> None:
    def cut(name: str, data: bytes) -> bytes | None:
        if not name.endswith("data/0"):
            return data
        return None if keep is None else data[:keep]

    torch.save({"a": torch.zeros(100_000)}, tmp_path / "whole.pt")
    repack(tmp_path / "whole.pt", tmp_path / "cut.pt", cut)
    assert message_of(tmp_path / "cut.pt").startswith("damaged, or not weights saved by torch.save")


def test_a_missing_file_and_one_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    assert message_of(tmp_path / "no.pt") == "cannot be read (no such file or directory)"
    assert "cannot be read" in message_of(tmp_path / "no.pt" / "inside.pt")


def test_a_storage_that_a_legacy_file_does_not_hold_is_refused(tmp_path: Path) -> None:
    """Torch leaves it as it finds it: whatever was in memory would be weights."""
    path = tmp_path / "w.pt"
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False)
    key = str(WEIGHTS["a"].untyped_storage()._cdata).encode()
    content = path.read_bytes()
    assert content.count(key) == 2  # what the pickle asks for, and the list of what there is
    path.write_bytes(content.replace(key, key[:-1] + b"x", 1))

    assert "does not hold 1 of the storages it names" in message_of(path)


@pytest.mark.parametrize("opcode", [b"X", b"T", b"B"], ids=["text", "string", "bytes"])
def test_no_room_is_made_for_bytes_that_a_legacy_file_does_not_have(
    tmp_path: Path, opcode: bytes
) -> None:
    (tmp_path / "w.pt").write_bytes(b"\x80\x02" + opcode + (1 << 30).to_bytes(4, "little") + b"ab")
    tracemalloc.start()
    told = message_of(tmp_path / "w.pt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "but only 2 remain" in told
    assert peak < 1 << 20
