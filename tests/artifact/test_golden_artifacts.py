"""The golden artifacts of format version 1 are read as on the day they were written."""

import json
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from artpack.artifact.header import encode_header
from artpack.artifact.reader import Artifact, open_artifact
from artpack.coding.codecs import CODECS, Stored
from artpack.coding.layouts import LAYOUTS
from artpack.coding.pipeline import Pipeline
from artpack.coding.symbol_coders import SYMBOL_CODERS
from artpack.quantize import QUANTIZERS
from artpack.quantize.clips import CLIPS
from artpack.quantize.raw import DTYPES
from artpack.quantize.scales import SCALES
from artpack.stages import JsonValue
from tests.artifact.forging import header_cbor
from tests.artifact.make_golden import CASES, FOLDER, fingerprint

has_lrzip = bool(shutil.which("lrzip") and shutil.which("prlimit"))
needs_lrzip = pytest.mark.skipif(not has_lrzip, reason="the program lrzip or prlimit is missing")
readable = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_lrzip if name == "lrzip" else ()) for name in CASES]
)


def golden(name: str) -> Path:
    return FOLDER / f"{name}.artpack"


@readable
def test_it_decodes_to_the_same_tensors_to_the_bit(name: str) -> None:
    with open_artifact(golden(name)) as artifact:
        artifact.check_trailer()
        found = [[key, *fingerprint(tensor)] for key, tensor in artifact.load().items()]
    assert found == json.loads(golden(name).with_suffix(".json").read_text(encoding="utf-8"))


@readable
def test_layouts_and_symbol_coders_still_write_what_it_holds(name: str) -> None:
    """What lies between coder and codec is ours alone: no library may change it."""
    with open_artifact(golden(name)) as artifact:
        for s, stream in enumerate(artifact.header.plan.streams):
            uncompressed = Pipeline(stream.pipeline.layout, stream.pipeline.coder, Stored())
            again = uncompressed.encode(artifact.stream(s), alphabet=alphabet(artifact, s))
            assert again.stored == without_codec(artifact, s)


def alphabet(artifact: Artifact, s: int) -> int:
    plan = artifact.header.plan
    return plan.spec(plan.streams[s].members[0]).alphabet


def without_codec(artifact: Artifact, s: int) -> bytes:
    """Return a stream with its codec undone: side information, then coded symbols."""
    plan, record = artifact.header.plan, artifact.header.records[s]
    pipeline, shapes = plan.streams[s].pipeline, plan.shapes(plan.streams[s].members)
    sides = sum(pipeline.layout.side_bytes(shape) for shape in shapes)
    stored = artifact.stored_stream(s)
    return stored[:sides] + pipeline.codec.decode(stored[sides:], size=record.coded_bytes)


@pytest.mark.parametrize("name", CASES)
def test_the_header_still_encodes_to_what_it_holds(name: str) -> None:
    content = golden(name).read_bytes()
    with open_artifact(content) as artifact:
        assert encode_header(artifact.header) == header_cbor(content)


def test_between_them_the_files_name_every_stage_and_dtype() -> None:
    named, dtypes = set(), set()
    for name in CASES:
        with open_artifact(golden(name)) as artifact:
            plan = artifact.header.plan
            dtypes |= {tensor.dtype for tensor in plan.tensors}
            named |= {key for t in plan.tensors for key in ids(t.quantizer)}
            named |= {key for s in plan.streams for key in ids(s.pipeline.config())}
    tables = (QUANTIZERS, CLIPS, SCALES, LAYOUTS, SYMBOL_CODERS, CODECS)
    assert named == {key for table in tables for key in table}
    assert dtypes == set(DTYPES)


def test_no_file_lies_there_that_nothing_reads() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {
        f"{name}.{ending}" for name in CASES for ending in ("artpack", "json")
    }
