"""Headers of GGUF files, and what is said of damaged ones."""

import struct
from pathlib import Path

import pytest

from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.gguf_header import read_gguf_header
from artpack.errors import CheckpointError

pytest.importorskip("gguf", reason="gguf is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
import gguf

from tests.checkpoint.gguf_cases import KINDS, drawn, llama, write

ARCHITECTURE = ("general.architecture", 8, "llama")


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def field(name: str, kind: int, value: object) -> bytes:
    codes = {0: "<B", 4: "<I", 6: "<f", 10: "<Q"}
    if isinstance(value, bytes):
        content = value
    else:
        content = text(str(value)) if kind == 8 else struct.pack(codes[kind], value)
    return text(name) + struct.pack("<I", kind) + content


def entry(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    axes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + axes + struct.pack("<IQ", kind, offset)


def file(
    entries: list[bytes],
    fields: list[tuple[str, int, object]] | None = None,
    *,
    version: int = 3,
    count: int | None = None,
    data: bytes = bytes(64),
) -> bytes:
    known = [field(*one) for one in ([ARCHITECTURE] if fields is None else fields)]
    front = b"GGUF" + struct.pack(
        "<IQQ", version, len(entries) if count is None else count, len(known)
    )
    head = front + b"".join(known) + b"".join(entries)
    return head + bytes(-len(head) % 32) + data


def test_places_are_those_of_the_package(tmp_path: Path) -> None:
    path = llama(tmp_path / "m.gguf", KINDS.Q4_1)
    header = read_gguf_header(path)
    assert header.architecture == "llama"
    found = [(t.name, t.shape, t.kind, t.start, t.bytes) for t in header.tensors]
    assert found == [
        (t.name, tuple(map(int, reversed(t.shape))), t.tensor_type, t.data_offset, t.n_bytes)
        for t in gguf.GGUFReader(path).tensors
    ]


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions_are_read(tmp_path: Path, version: int) -> None:
    (tmp_path / "m").write_bytes(file([entry("a", (4, 2))], version=version))
    (tensor,) = read_gguf_header(tmp_path / "m").tensors
    assert (tensor.name, tensor.shape, tensor.bytes) == ("a", (2, 4), 32)


HUGE = 1 << 60
ONE = [entry("a", (4, 2))]
BAD = {
    "empty": (b"GGUF", "cut off: byte 8 is past the end"),
    "old": (file(ONE, version=1), "version 1, and only 2 and 3 are read"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big endian"),
    "tensors": (file(ONE, count=HUGE), f"{HUGE} tensors in 1.. bytes"),
    "no tensors": (file([]), "no tensors in it"),
    "fields": (b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE), f"{HUGE} fields in 0 bytes"),
    "letters": (
        b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, HUGE) + bytes(40),
        f"{HUGE} letters in 40 bytes",
    ),
    "items": (
        file(ONE, [("a", 9, struct.pack("<IQ", 8, HUGE))]),
        f"{HUGE} items in .* bytes",
    ),
    "many items": (
        file(ONE, [("a", 9, struct.pack("<IQ", 0, 1 << 23))], data=bytes(1 << 23)),
        "the field 'a' has 8388608 items, the limit is 4194304",
    ),
    "array of arrays": (
        file(ONE, [("a", 9, struct.pack("<IQ", 9, 1))]),
        "the field 'a' is an array of the unknown type 9",
    ),
    "type of a field": (file(ONE, [("a", 77, b"")]), "the field 'a' is of the unknown type 77"),
    "twice": (file(ONE, [ARCHITECTURE] * 2), "the field 'general.architecture' is there twice"),
    "no architecture": (file(ONE, []), "no architecture in it"),
    "architecture": (file(ONE, [("general.architecture", 4, 1)]), "no architecture in it"),
    "alignment": (
        file(ONE, [ARCHITECTURE, ("general.alignment", 4, 24)]),
        "the alignment 24 is no power of two",
    ),
    "float alignment": (
        file(ONE, [ARCHITECTURE, ("general.alignment", 6, 32.0)]),
        "the alignment 32.0 is no power of two",
    ),
    "layers": (
        file(ONE, [ARCHITECTURE, ("llama.block_count", 4, 1 << 31)]),
        "2147483648 layers in 1 tensors",
    ),
    "split": (
        file(ONE, [ARCHITECTURE, ("split.count", 4, 3)]),
        "one of 3: join them first",
    ),
    "axes": (file([entry("a", (1,) * 5)]), "'a' has 5 axes, the limit is 4"),
    "type": (file([entry("a", (4, 2), kind=99)]), "'a' is of type 99, which this version"),
    "blocks": (file([entry("a", (4, 2), kind=8)]), r"'a' of shape \(2, 4\) is not made of blocks"),
    "shape": (
        file([entry("a", (1 << 63, 0, 1 << 63))]),
        r"'a' has the impossible shape \(9223372036854775808, 0, 9223372036854775808\)",
    ),
    "size": (file([entry("a", (1 << 20, 1 << 20))]), "cut off: 'a' ends past the end"),
    "offset": (file([entry("a", (4, 2), offset=64)]), "cut off: 'a' ends past the end"),
    "overlap": (
        file([*ONE, entry("b", (4, 2), offset=0), entry("c", (4, 2))]),
        "its tensors overlap",
    ),
    "same name": (file(ONE * 2), "two of its tensors have the same name"),
    "letters of a name": (
        file(ONE, [("a", 8, struct.pack("<Q", 1) + b"\xff")]),
        "the text at byte .* is not UTF-8",
    ),
}


@pytest.mark.parametrize(("content", "problem"), BAD.values(), ids=BAD)
def test_damaged_files_are_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"m.gguf: a GGUF file, {problem}") as caught:
        open_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_no_part_of_a_file_is_the_file(tmp_path: Path) -> None:
    content = llama(tmp_path / "m.gguf").read_bytes()
    path = tmp_path / "cut"
    for size in [*range(4, 400), *range(400, len(content), 4001), len(content) - 32]:
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError):
            read_gguf_header(path)


def test_what_has_no_dequantizer_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    tensors = {"a.weight": (drawn(4, 64), KINDS.Q8_0)}
    path = write(tmp_path / "m.gguf", "unheard-of", tensors, {})
    monkeypatch.setattr(gguf, "dequantize", refuse)
    with pytest.raises(CheckpointError, match="cannot dequantize Q8_0"):
        open_checkpoint(path)
