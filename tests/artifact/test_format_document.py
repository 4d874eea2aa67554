"""What docs/FORMAT.md shows in bytes is what artpack reads and writes."""

import hashlib
import lzma
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from artpack.artifact.format import PREAMBLE_BYTES, TRAILER_BYTES, Preamble, checksum
from artpack.artifact.header import encode_header
from artpack.artifact.reader import open_artifact
from artpack.artifact.writer import HEADER_CODEC, hash_symbols
from artpack.coding.codecs import CODECS, zpaq
from artpack.coding.layouts import LAYOUTS
from artpack.coding.symbol_coders import SYMBOL_CODERS
from artpack.quantize import QUANTIZERS
from artpack.quantize.grids.factors import FACTORS
from artpack.quantize.grids.raw import DTYPES
from artpack.quantize.rounding.clips import CLIPS
from artpack.quantize.scales import SCALES
from artpack.stages.symbols import Symbols

FORMAT = (Path(__file__).parents[2] / "docs" / "FORMAT.md").read_text(encoding="utf-8")
EXAMPLE = torch.tensor([[0.5, -1.0, 1.5], [0.25, 0.0, -0.75]])


def dump(number: int) -> bytes:
    """Return the bytes of one of the annotated dumps, whose offsets must be right."""
    block = re.findall(r"^```\n(.*?)^```\n", FORMAT, re.MULTILINE | re.DOTALL)[number]
    content = b""
    for offset, row in re.findall(r"^([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+)", block, re.MULTILINE):
        assert int(offset, 16) == len(content)
        content += bytes.fromhex(row)
    return content


def rows(*columns: str) -> list[tuple[str, ...]]:
    """Return the rows of the table with this heading, code marks taken off."""
    heading = re.escape(f"| {' | '.join(columns)} |") + r"\n\|[-|]+\|\n((?:\|.*\n)+)"
    table = re.search(heading, FORMAT)
    assert table is not None
    return [
        tuple(cell.strip(" `") for cell in line.strip("|").split("|"))
        for line in table[1].splitlines()
    ]


def symbols_of(cell: str) -> Symbols:
    return np.array(cell.split(), np.uint8)


def test_the_example_decodes_to_its_tensor() -> None:
    with open_artifact(dump(0)) as artifact:
        artifact.check_trailer()
        tensors = artifact.load()
    assert list(tensors) == ["w"]
    assert tensors["w"].dtype == torch.float32
    assert torch.equal(tensors["w"], EXAMPLE)


def test_the_example_is_what_the_library_writes() -> None:
    """All but the compressed header, whose bytes are for liblzma to choose."""
    content = dump(0)
    with open_artifact(content) as artifact:
        plan, records = artifact.header.plan, artifact.header.records
        quantized = plan.tensors[0].quantizer.quantize(EXAMPLE)
        coded = [
            stream.pipeline.encode(
                [quantized.parts[plan.spec(member).name] for member in stream.members],
                alphabet=plan.spec(stream.members[0]).alphabet,
            )
            for stream in plan.streams
        ]
        stored = content[PREAMBLE_BYTES:][: artifact.preamble.header_stored_bytes]
    assert artifact.header.hashes == (hash_symbols(quantized),)
    assert [record.coded_bytes for record in records] == [one.coded_bytes for one in coded]
    preamble = Preamble(len(stored), len(dump(1)), len(content), checksum(stored))
    body = b"".join([preamble.pack(), stored, *(one.stored for one in coded)])
    assert body == content[:-TRAILER_BYTES]
    assert hashlib.sha256(body).digest() == content[-TRAILER_BYTES:]


def test_the_header_of_the_example_is_the_one_shown() -> None:
    content, header = dump(0), dump(1)
    with open_artifact(content) as artifact:
        assert encode_header(artifact.header) == header
        stored = content[PREAMBLE_BYTES:][: artifact.preamble.header_stored_bytes]
    assert HEADER_CODEC.decode(stored, size=len(header)) == header


def test_the_standard_library_decompresses_the_header_as_shown() -> None:
    content, header = dump(0), dump(1)
    shown = re.search(r"^ {4}(lzma\.decompress\(.*?\))\n\n", FORMAT, re.MULTILINE | re.DOTALL)
    assert shown is not None
    stored = content[PREAMBLE_BYTES : PREAMBLE_BYTES + int.from_bytes(content[10:14], "little")]
    size = int.from_bytes(content[14:18], "little")
    assert eval(shown[1], {"lzma": lzma, "stored": stored, "size": size}) == header  # noqa: S307


def test_the_examples_of_layouts_are_true() -> None:
    matrix = np.array([[1, 1], [9, 9], [2, 1]], np.uint8)
    examples = rows("layout", "side information", "symbols")
    assert [stage_id for stage_id, *_ in examples] == list(LAYOUTS)
    for stage_id, side, symbols in examples:
        layout = LAYOUTS[stage_id].from_config({})
        written, ordered = layout.forward(matrix)
        assert written == bytes.fromhex(side)
        np.testing.assert_array_equal(ordered, symbols_of(symbols))
        np.testing.assert_array_equal(layout.inverse(written, ordered, shape=(3, 2)), matrix)


def test_the_examples_of_symbol_coders_are_true() -> None:
    examples = rows("coder", "alphabet", "symbols", "bytes")
    assert [stage_id for stage_id, *_ in examples] == list(SYMBOL_CODERS)
    for stage_id, alphabet, cell, data in examples:
        coder, symbols = SYMBOL_CODERS[stage_id].from_config({}), symbols_of(cell)
        assert coder.encode(symbols, alphabet=int(alphabet)) == bytes.fromhex(data)
        decoded = coder.decode(bytes.fromhex(data), alphabet=int(alphabet), count=symbols.size)
        np.testing.assert_array_equal(decoded, symbols)


@pytest.mark.parametrize("model", ["symbols", "general"])
def test_the_block_headers_of_zpaq_are_the_ones_shown(model: str) -> None:
    shown = re.search(rf"Model `{model}`:\n\n((?: {{4}}[0-9a-f ]+\n)+)", FORMAT)
    assert shown is not None
    assert bytes.fromhex(shown[1]) == zpaq._MODELS[model].program


def test_the_guard_of_zpaq_is_the_one_shown() -> None:
    shown = re.search(r"most significant first:\n\n((?: {4}[0-9a-fs ]+\n)+)", FORMAT)
    assert shown is not None
    limit = re.sub(r"s([0-3])", lambda place: f"0{int(place[1]) + 5}", shown[1])
    assert bytes.fromhex(limit) == zpaq._guard(0x08070605 - 1)


@pytest.mark.parametrize(
    "table", [QUANTIZERS, CLIPS, SCALES, FACTORS, LAYOUTS, SYMBOL_CODERS, CODECS, DTYPES]
)
def test_every_id_is_in_a_table(table: dict[str, object]) -> None:
    first_cells = re.findall(r"^\| ([^|]*) \|", FORMAT, re.MULTILINE)
    named = {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}
    assert set(table) <= named
