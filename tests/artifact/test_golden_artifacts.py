"""The golden artifacts of format version 1 are read as on the day they were written."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from artpack.artifact.format import PREAMBLE_BYTES
from artpack.artifact.header import encode_header
from artpack.artifact.reader import Artifact, open_artifact
from artpack.artifact.writer import HEADER_CODEC
from artpack.coding.codecs import CODECS, Stored
from artpack.coding.layouts import LAYOUTS
from artpack.coding.pipeline import Pipeline
from artpack.coding.symbol_coders import SYMBOL_CODERS, Adaptive, ClassedRans
from artpack.quantize import QUANTIZERS
from artpack.quantize.grids.factors import FACTORS
from artpack.quantize.grids.low_rank import INNER
from artpack.quantize.grids.raw import DTYPES
from artpack.quantize.rounding.clips import CLIPS
from artpack.quantize.scales import SCALES
from tests.artifact.forging import take_apart
from tests.artifact.golden_cases import CASES, FOLDER
from tests.artifact.golden_content import fingerprint

TABLES = {
    "quantizer": QUANTIZERS,
    "inner": INNER,
    "factors": FACTORS,
    "clip": CLIPS,
    "scales": SCALES,
    "layout": LAYOUTS,
    "coder": SYMBOL_CODERS,
    "codec": CODECS,
}

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
            if isinstance(stream.pipeline.coder, ClassedRans | Adaptive):
                continue  # which run or row is in which class is free, and may be found better
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
        sizes = artifact.preamble
        stored = content[PREAMBLE_BYTES:][: sizes.header_stored_bytes]
        decoded = HEADER_CODEC.decode(stored, size=sizes.header_decoded_bytes)
        assert encode_header(artifact.header) == decoded


def test_between_them_the_files_name_every_stage() -> None:
    headers = [take_apart(golden(name).read_bytes())[0] for name in CASES]
    stages: list[dict[str, Any]] = [
        *(pipeline for header in headers for pipeline in header["pipelines"]),
        *({"quantizer": q} | q for header in headers for q in header["quantizers"]),
    ]
    named = {
        (role, stage["id"])
        for roles in stages
        for role, stage in roles.items()
        if isinstance(stage, dict)
    }
    assert named == {(role, stage_id) for role, table in TABLES.items() for stage_id in table}


def test_between_them_the_files_hold_every_dtype() -> None:
    headers = [take_apart(golden(name).read_bytes())[0] for name in CASES]
    assert {dtype for header in headers for dtype in header["tensors"]["dtypes"]} == set(DTYPES)


def test_no_file_lies_there_that_nothing_reads() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {
        f"{name}.{ending}" for name in CASES for ending in ("artpack", "json")
    }
