"""Artifacts made again: identical in one pass, or what differs is named."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sentencepiece import SentencePieceProcessor

import artpack
from artpack.api.graph_data import Replacements
from artpack.artifact.writer import assemble
from artpack.coding.pipeline import Coded, Pipeline
from artpack.errors import UsageError
from artpack.pack import packer as packing
from artpack.pack.packer import Packer
from artpack.pack.rate_distortion import RateDistortion
from tests.graphs import tiny
from tests.small_model import write_small_model


def remade(result: artpack.CompressResult, source: Any, **given: Any) -> artpack.RebuildResult:
    """Save a file below the working folder, and make it again."""
    result.save("a.artpack")
    return artpack.rebuild("a.artpack", source, **given)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def searched(
    tmp_path_factory: pytest.TempPathFactory, api_tokenizer: SentencePieceProcessor
) -> Path:
    """Return a folder with a small model, and a file of it that a budget was searched for."""
    folder = tmp_path_factory.mktemp("searched")
    write_small_model(folder, api_tokenizer, 512)
    result = artpack.compress(
        folder / "ckpt.pt",
        budget=40_000,
        calibration_tokens=folder / "calib.bin",
        profile="fast",
    )
    result.save(folder / "a.artpack")
    return folder


@pytest.fixture
def fitted(searched: Path, here: Path) -> Path:
    """Return a copy of that file, beside its checkpoint."""
    shutil.copytree(searched, here, dirs_exist_ok=True)
    return here / "a.artpack"


def test_a_search_is_made_again_in_one_pass(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = list[float]()
    prepare = RateDistortion.prepare

    def counted(self: Any, log2_step: float, **told: Any) -> Any:
        passes.append(log2_step)
        return prepare(self, log2_step, **told)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("nothing is searched for")

    monkeypatch.setattr(RateDistortion, "prepare", counted)
    for name in ("fit_bytes", "fit_loss", "obtain_sensitivities"):
        monkeypatch.setattr(packing, name, refused)
    monkeypatch.setattr("artpack.pack.compress.choose_all", refused)
    found = artpack.rebuild(fitted, "ckpt.pt", calibration_tokens="calib.bin")
    assert found == artpack.RebuildResult(
        identical=True,
        artifact_bytes=fitted.stat().st_size,
        rebuilt_bytes=fitted.stat().st_size,
    )
    with artpack.open(fitted) as opened:
        assert passes == [opened.header.provenance["log2_step"]]


def test_a_calibration_file_does_as_well_as_tokens(fitted: Path) -> None:
    kept = Path("kept.safetensors")
    for _ in range(2):
        again = artpack.rebuild(fitted, "ckpt.pt", calibration=kept, calibration_tokens="calib.bin")
        assert again.identical
    assert artpack.rebuild(fitted, "ckpt.pt", calibration=kept, jobs=1).identical


@pytest.mark.parametrize(
    "asked",
    [
        {"recipe": "lossless"},
        {"recipe": "int6", "profile": "default", "include": "proj"},
        {"recipe": "int6", "overrides": ["matrices.quantizer.bits=5"], "portable": True},
        {"recipe": "pr1123", "calibration_tokens": "calib.bin"},
        {"recipe": "ternary", "exclude": "lm_head", "include": "[abt]"},
        {"recipe": "frontier", "deadline_s": 0.0, "include": "attn"},
        {"tune_steps": 2, "calibration_tokens": "calib.bin"},
        pytest.param(
            {"budget": 60_000, "calibration_tokens": "calib.bin", "bundle": True, "profile": "max"},
            marks=pytest.mark.slow,
        ),
        {"recipe": "int8", "ttt": "scalars", "files": {"more/a.txt": b"by hand"}},
    ],
    ids=lambda asked: "-".join(map(str, asked)),
)
def test_options_are_in_the_file(small: Path, asked: dict[str, Any]) -> None:
    data = {key: asked[key] for key in asked if key.startswith("calibration")}
    result = artpack.compress("ckpt.pt", **{"profile": "fast", **asked})
    assert remade(result, "ckpt.pt", **data).identical


def test_a_key_and_a_prefix_are_in_the_file(small: Path) -> None:
    weights = torch.load("ckpt.pt", weights_only=True)
    torch.save({"ema": {f"net.{k}": v for k, v in weights.items()}}, "nested.pt")
    asked = {"key": "ema", "strip_prefix": "net.", "recipe": "int8", "profile": "fast"}
    assert remade(artpack.compress("nested.pt", **asked), "nested.pt").identical  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", [{"average": "mean"}, {"average": "ema", "decay": 0.5}])
def test_an_average(small: Path, asked: dict[str, Any]) -> None:
    weights = torch.load("ckpt.pt", weights_only=True)
    torch.save({name: 1.25 * weight for name, weight in weights.items()}, "later.pt")
    result = artpack.compress(["ckpt.pt", "later.pt"], recipe="int6", profile="fast", **asked)
    assert remade(result, ["ckpt.pt", "later.pt"]).identical
    swapped = artpack.rebuild("a.artpack", ["later.pt", "ckpt.pt"])
    assert [one.kind for one in swapped.differences[:3]] == ["input"] * 3


def test_a_finetuned_file(small: Path) -> None:
    result = artpack.finetune("ckpt.pt", "val.bin", steps=2, loss="next-token", profile="fast")
    assert remade(result, "ckpt.pt", calibration_tokens="val.bin").identical
    with pytest.raises(UsageError, match="learned from data: give `calibration_tokens`"):
        artpack.rebuild("a.artpack", "ckpt.pt", calibration=Path("calib.safetensors"))
    assert artpack.rebuild("a.artpack", "ckpt.pt", keep_symbols=True).identical


def test_weights_in_memory(small: Path) -> None:
    layer = torch.nn.Linear(64, 64)
    batches = [torch.randn(32, 64, generator=torch.Generator().manual_seed(0))]
    result = artpack.compress(layer, calibration_batches=batches, loss="cosine", profile="fast")
    assert remade(result, layer, calibration_batches=batches).identical
    other = artpack.rebuild("a.artpack", layer, calibration_batches=batches, loss="outputs")
    assert "calibration.settings.loss" in [one.where for one in other.differences]


def test_a_graph_is_not_measured_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = tiny.perceptron()
    source = tiny.save(graph, here / "a.onnx")
    batches = tiny.inputs_of(graph, count=4)
    result = artpack.compress(source, calibration_batches=batches, profile="fast")

    def refused(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(Replacements, "__call__", refused)
    assert remade(result, source, calibration_batches=batches).identical
    assert artpack.rebuild("a.artpack", source, keep_symbols=True).identical
    with artpack.open("a.artpack") as opened:
        costs = opened.header.provenance["sensitivities"]
        assert isinstance(costs, list)
        assert len(costs) == len(opened.header.plan.tensors)
        assert any(costs)


def test_kept_symbols_need_no_data_and_no_arithmetic(
    fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("quantized")

    monkeypatch.setattr(Packer, "prepare", refused)
    found = artpack.rebuild(fitted, "ckpt.pt", keep_symbols=True)
    assert found.identical
    with artpack.open(fitted) as opened:
        reports = opened.header.provenance["reports"]
        assert isinstance(reports, list)
        assert len(found.kept) == sum(report is not None for report in reports)


def test_other_numbers_in_a_calibration_are_an_input(fitted: Path) -> None:
    known = artpack.calibrate("ckpt.pt", "calib.bin")
    for hessian in known.hessians.values():
        hessian.mul_(1.5)
    found = artpack.rebuild(fitted, "ckpt.pt", calibration=known)
    first, second, *_ = found.differences
    assert (first.kind, first.where) == ("input", "calibration.checksum")
    assert second.kind == "stream"
    assert found.same_coding
    changed = {one.name: one for one in found.changed}
    assert 0 < changed["blocks.0.mlp.fc.weight"].changed < changed["blocks.0.mlp.fc.weight"].symbols


def test_another_library_is_named_and_nothing_else(
    fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artpack.pack.compress.version", lambda name: f"{name} of tomorrow")
    monkeypatch.setattr("artpack.pack.compress.__version__", "9.9")
    found = artpack.rebuild(fitted, "ckpt.pt", calibration_tokens="calib.bin")
    assert {one.kind for one in found.differences} == {"library"}
    assert found.differences[0].where == "artpack"
    assert found.differences[0].here == "9.9"
    assert "libraries.torch" in [one.where for one in found.differences]
    assert (found.changed, found.same_coding) == ((), True)


def test_another_coder_is_told_from_other_symbols(
    fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = Pipeline.encode

    def longer(self: Pipeline, parts: Any, *, alphabet: int) -> Coded:
        coded = encode(self, parts, alphabet=alphabet)
        return Coded(coded.stored + b"\0", coded.coded_bytes)

    monkeypatch.setattr(Pipeline, "encode", longer)
    found = artpack.rebuild(fitted, "ckpt.pt", keep_symbols=True)
    assert {one.kind for one in found.differences} == {"stream"}
    assert (found.changed, found.same_coding) == ((), False)


def test_another_checkpoint_is_named(small: Path) -> None:
    weights = torch.load("ckpt.pt", weights_only=True)
    artpack.compress("ckpt.pt", recipe="lossless", profile="fast").save("a.artpack")
    weights["blocks.1.mlp.fc.weight"][3, 5] += 1
    torch.save(weights, "other.pt")
    found = artpack.rebuild("a.artpack", "other.pt")
    assert found.differences[0].where == "source_sha256"
    assert [one.name for one in found.changed] == ["blocks.1.mlp.fc.weight"]
    assert 1 <= found.changed[0].changed <= 4
    streams = [one.where for one in found.differences if one.kind == "stream"]
    assert 1 <= len(streams) <= 4


def test_where_nothing_can_be_made_the_input_is_named_all_the_same(fitted: Path) -> None:
    weights = torch.load("ckpt.pt", weights_only=True)
    torch.save({name: weight + 1 for name, weight in weights.items()}, "other.pt")
    known = artpack.calibrate("ckpt.pt", "calib.bin")
    for data, keep in ((None, True), (known, False)):
        found = artpack.rebuild(fitted, "other.pt", calibration=data, keep_symbols=keep)
        assert [one.where for one in found.differences] == ["source_sha256"]
        assert found.reason == "the calibration is for other weights: collect it again"
        assert found.rebuilt_bytes is None


def test_tensors_that_are_stored_otherwise_are_named(small: Path) -> None:
    weights = torch.load("ckpt.pt", weights_only=True)
    artpack.compress(weights, recipe="int6", profile="fast").save("a.artpack")
    del weights["blocks.1.mlp.fc.weight"]
    weights["blocks.1.attn.proj.weight"] = weights["blocks.1.attn.proj.weight"].double()
    found = artpack.rebuild("a.artpack", weights)
    tensors = {one.where: one for one in found.differences if one.kind == "tensor"}
    assert tensors["blocks.1.mlp.fc.weight"].here is None
    assert tensors["blocks.1.attn.proj.weight.dtype"].here == "float64"


def test_data_and_the_file_go_together(fitted: Path) -> None:
    with pytest.raises(UsageError, match="made with data: give `calibration`"):
        artpack.rebuild(fitted, "ckpt.pt")
    with pytest.raises(UsageError, match="`keep_symbols` needs no data"):
        artpack.rebuild(fitted, "ckpt.pt", calibration_tokens="calib.bin", keep_symbols=True)
    artpack.compress("ckpt.pt", recipe="int8", profile="fast").save("b.artpack")
    with pytest.raises(UsageError, match="made without data"):
        artpack.rebuild("b.artpack", "ckpt.pt", calibration_tokens="calib.bin")


HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"recipe": None}, "does not name a recipe"),
    ({"recipe": {"name": "x", "rules": {"a": {}, "b": {}}}}, "which of its rules comes first"),
    ({"options": {"unheard": 1}}, "unknown field 'unheard'"),
    ({"options": {"files": ["a"]}}, "it does not carry 'a'"),
    ({"options": {"tune_steps": 9}}, "learned from data: give `calibration_tokens`"),
    ({"options": {"profile": "endless"}}, "unknown profile 'endless'"),
    ({"options": {"include": "("}}, "`include`.*is not a regular expression"),
    ({"log2_step": None}, "nothing says which steps were found"),
    ({"log2_step": 1e9}, "log2_step is 1000000000.0"),
    ({"calibration": {}}, "made with data"),
]


@pytest.mark.parametrize(("changed", "message"), HOSTILE)
def test_what_a_stranger_says_of_its_origin_is_checked(
    here: Path, changed: dict[str, Any], message: str
) -> None:
    weights = {"fc.weight": torch.eye(64), "fc.bias": torch.zeros(64)}
    packed = artpack.compress(weights, recipe="frontier", profile="fast").result.packed
    header = replace(packed.header, provenance={**packed.header.provenance, **changed})
    Path("a.artpack").write_bytes(b"".join(assemble(header, packed.streams)))
    with pytest.raises(UsageError, match=message):
        artpack.rebuild("a.artpack", weights)


PROGRAM = """
import json, sys, artpack
data, given = {"calibration_tokens": "calib.bin"}, json.loads(sys.argv[1])
both = data | given, {"keep_symbols": True}
found = [artpack.rebuild("a.artpack", "ckpt.pt", **one) for one in both]
print(json.dumps([one.to_json() for one in found]))
"""


def elsewhere(environment: dict[str, str], **given: Any) -> Any:
    """Make a file again in a fresh process, from tokens and with kept symbols."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(given)],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "jobs"), [("1", 2), ("2", 1), ("4", 2)])
def test_threads_have_no_say(fitted: Path, threads: str, jobs: int) -> None:
    counts = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    assert all(one["identical"] for one in elsewhere(counts, jobs=jobs))


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"ATEN_CPU_CAPABILITY": "avx2"},
        {"ATEN_CPU_CAPABILITY": "default"},
        {"OPENBLAS_CORETYPE": "Haswell"},
        {"OPENBLAS_CORETYPE": "Prescott"},
        {"ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Prescott"},
    ],
    ids=lambda environment: "-".join(environment.values()),
)
def test_other_instructions_round_otherwise_and_code_the_same(
    fitted: Path, environment: dict[str, str]
) -> None:
    rounded, kept = elsewhere(environment)
    assert kept["identical"]
    if rounded["identical"]:
        return
    assert rounded["same_coding"]
    kinds = {one["kind"] for one in rounded["differences"]}
    assert kinds <= {"input", "tensor", "stream", "header"}
    inputs = [one["where"] for one in rounded["differences"] if one["kind"] == "input"]
    assert inputs in ([], ["calibration.checksum"])
