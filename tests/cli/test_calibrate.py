"""``artpack calibrate``, and what compress does with calibrations and averages."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentencepiece import SentencePieceProcessor
from torch import Tensor, nn

import artpack
from artpack.artifact.reader import open_artifact
from artpack.calibration.file import Calibration, read_calibration
from artpack.evaluation.tokens.shards import write_shard
from artpack.models import GPT, ModelConfig
from artpack.models.mechanisms import Rope, Softcap
from tests.cli.conftest import Invoke
from tests.evaluation.conftest import TEXT, train_tokenizer

ROOT = Path(artpack.__file__).parents[1]
FAST = ("--profile", "fast", "--recipe", "int8")


@pytest.fixture(scope="module")
def tokenizer() -> SentencePieceProcessor:
    return train_tokenizer()


def random_weights(config: ModelConfig, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    model = GPT(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


@pytest.fixture
def folder(
    tmp_path: Path, tokenizer: SentencePieceProcessor, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Make two checkpoints of a model, its config, a tokenizer, text and a shard; work there."""
    rope, softcap = Rope(10000.0, 4), Softcap("tanh", 30.0)
    config = ModelConfig(tokenizer.vocab_size(), 16, 2, 4, 2, 32, rope, softcap)
    torch.save(random_weights(config), tmp_path / "ckpt.pt")
    torch.save(random_weights(config, seed=1), tmp_path / "later.pt")
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()))
    (tmp_path / "sp.model").write_bytes(tokenizer.serialized_model_proto())
    (tmp_path / "some.txt").write_text("\0".join([TEXT] * 8))
    ids = np.random.default_rng(0).integers(0, tokenizer.vocab_size(), 500)
    write_shard(tmp_path / "calib.bin", ids)
    monkeypatch.chdir(tmp_path)
    return tmp_path


Told = Callable[..., dict[str, Any]]


@pytest.fixture
def told(invoke: Invoke, folder: Path) -> Told:
    """Return a function that runs ``artpack ARGS --json`` and reads what it prints."""

    def call(*args: object) -> dict[str, Any]:
        done = invoke(*args, "--json")
        assert done.code == 0, done.err
        value: dict[str, Any] = json.loads(done.out)
        return value

    return call


def calibrated(told: Told, *args: object, output: str = "a.calibration") -> Calibration:
    told("calibrate", "ckpt.pt", "-o", output, "--window-tokens", 32, *args)
    return read_calibration(Path(output))


def test_calibrate_says_what_it_did(told: Told, folder: Path) -> None:
    args = ("--tokens", "calib.bin", "-o", "a", "--window-tokens", 32, "--limit-tokens", 130)
    summary = told("calibrate", "ckpt.pt", *args)
    assert (summary["windows"], summary["window_tokens"], summary["tokens"]) == (4, 32, 128)
    assert summary["hessians"] == 13
    assert summary["bytes"] == (folder / "a").stat().st_size
    assert summary["fingerprint"] == read_calibration(folder / "a").fingerprint
    assert any("config.json" in note for note in summary["notes"])


def test_calibrate_prints_a_line(invoke: Invoke, folder: Path) -> None:
    done = invoke("calibrate", "ckpt.pt", "--tokens", "calib.bin", "-o", "a", "--no-fisher")
    assert "1 windows of 500 tokens, 13 matrices" in done.out
    assert "window: 1024 tokens; --window-tokens says another" in done.err
    assert not read_calibration(folder / "a").row_information


def test_the_training_window_is_found_beside_the_checkpoint(told: Told, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    flat = {
        **{key: config[key] for key in ("vocab_size", "model_dim", "num_layers", "num_heads")},
        "num_kv_heads": 2,
        "head_dim": 4,
        "mlp_hidden": 32,
        "rope_base": 10000,
        "rope_dims": 4,
        "logit_softcap": 30.0,
        "activation": "relu2",
        "tied_embeddings": True,
        "train_window_tokens": 48,
        "parameters": 0,
        "scores": {},
    }
    (folder / "config.json").write_text(json.dumps(flat))
    summary = told("calibrate", "ckpt.pt", "--tokens", "calib.bin", "-o", "a")
    assert summary["window_tokens"] == 48


def test_text_is_tokenized(told: Told) -> None:
    text = calibrated(told, "--tokens", "some.txt", "--tokenizer", "sp.model")
    assert text.tokens % 32 == 0
    assert text.lookup_information["tok_emb.weight"][1] > 0  # the BOS of every document


def test_a_model_calibrates_itself(told: Told) -> None:
    own = calibrated(told, "--self-generate", 100, "--tokenizer", "sp.model", "--seed", 4)
    again = calibrated(told, "--self-generate", 100, "--tokenizer", "sp.model", "--seed", 4)
    other = calibrated(told, "--self-generate", 100, "--tokenizer", "sp.model", "--seed", 5)
    cold = calibrated(
        told, "--self-generate", 100, "--tokenizer", "sp.model", "--temperature", 0.01
    )
    assert own.tokens == 96
    assert own.fingerprint == again.fingerprint
    hashes = {c.fingerprint["tokens_sha256"] for c in (own, other, cold)}
    assert len(hashes) == 3


@pytest.mark.slow
def test_torchrun_collects_what_one_process_does(told: Told, folder: Path) -> None:
    args = ("--tokens", "calib.bin", "--window-tokens", "32", "--batch-tokens", "64")
    calibrated(told, *args, output="one")
    launch = "-m torch.distributed.run --standalone --nproc-per-node 2 -m artpack_cli calibrate"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *launch.split(), "ckpt.pt", "-o", "two", *args, "--json"],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tokens"] == 480
    one, two = load_file(folder / "one"), load_file(folder / "two")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        atol = 1e-6 * float(tensor.abs().max())
        torch.testing.assert_close(two[name], tensor, rtol=1e-5, atol=atol)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "give what to run: one of --tokens"),
        (("--tokens", "calib.bin", "--self-generate", 9), "give what to run: one of --tokens"),
        (("--tokens", "some.txt"), "some.txt: text needs its --tokenizer"),
        (("--tokens", "none.bin"), "none.bin: no token file matches"),
        (("--tokens", "calib.bin", "--model", "pr2086"), "pr2086 describes another model"),
    ],
)
def test_mistakes_are_named(
    invoke: Invoke, folder: Path, args: tuple[object, ...], message: str
) -> None:
    done = invoke("calibrate", "ckpt.pt", "-o", "a", *args)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert not (folder / "a").exists()


def provenance(path: str) -> dict[str, Any]:
    with open_artifact(Path(path)) as artifact:
        found: dict[str, Any] = artifact.header.provenance
    return found


def test_compress_writes_a_calibration_and_uses_it_again(told: Told, folder: Path) -> None:
    args = ("compress", "ckpt.pt", *FAST, "--calibration", "a", "--calibration-tokens", "calib.bin")
    told(*args, "-o", "one.bin")
    written = (folder / "a").stat().st_mtime_ns
    told(*args, "-o", "two.bin")
    told(*args[:-2], "-o", "three.bin")
    assert (folder / "a").stat().st_mtime_ns == written
    files = [(folder / name).read_bytes() for name in ("one.bin", "two.bin", "three.bin")]
    assert len(set(files)) == 1
    stated = dict(provenance("one.bin")["calibration"])
    assert len(stated.pop("checksum")) == 16
    assert stated == read_calibration(folder / "a").fingerprint


def test_compress_calibrates_without_a_file(told: Told, folder: Path) -> None:
    before = set(folder.iterdir())
    told("compress", "ckpt.pt", *FAST, "--calibration-tokens", "calib.bin", "-o", "a.bin")
    assert {path.name for path in set(folder.iterdir()) - before} == {"a.bin"}
    assert "calibration" in provenance("a.bin")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("later.pt", "--calibration", "a"), "a: the calibration is for other weights"),
        (("ckpt.pt", "--calibration", "b"), "b: no such calibration file"),
        (("ckpt.pt", "--calibration", "ckpt.pt"), "ckpt.pt: a damaged calibration file"),
        (
            ("ckpt.pt", "--calibration", "a", "--calibration-tokens", "calib.bin"),
            "a: the calibration is for",
        ),
        (("ckpt.pt", "later.pt"), "2 checkpoints: say with --average"),
        (("ckpt.pt", "later.pt", "--average", "ema"), "--average 'ema' and --decay go together"),
        (("ckpt.pt", "--decay", "0.5"), "--average 'ema' and --decay go together"),
    ],
)
def test_mistakes_of_compress_are_named(
    told: Told, invoke: Invoke, folder: Path, args: tuple[object, ...], message: str
) -> None:
    calibrated(told, "--tokens", "calib.bin", output="a")
    done = invoke("compress", *args, *FAST, "-o", "a.bin")
    assert done.code == 2
    assert message in done.err
    assert not (folder / "a.bin").exists()


def test_an_average_is_packed_with_the_hashes_of_its_sources(told: Told, folder: Path) -> None:
    told("compress", "ckpt.pt", "later.pt", "--average", "mean", "--recipe", "lossless")
    first, second = (
        torch.load(folder / name, weights_only=True) for name in ("ckpt.pt", "later.pt")
    )
    weights = artpack.load(folder / "later.artpack")
    for name, tensor in weights.items():
        assert torch.equal(tensor, ((first[name].double() + second[name].double()) / 2).float())
    about = provenance("later.artpack")["average"]
    assert (about["kind"], about["decay"], len(about["sources"])) == ("mean", None, 2)


def test_a_moving_average_keeps_what_it_is_told(told: Told, folder: Path) -> None:
    args = ("--average", "ema", "--decay", 0.75, "--recipe", "lossless", "-o", "a.bin")
    told("compress", "ckpt.pt", "later.pt", *args)
    first, second = (
        torch.load(folder / name, weights_only=True) for name in ("ckpt.pt", "later.pt")
    )
    weights = artpack.load(folder / "a.bin")
    name = "tok_emb.weight"
    expected = 0.75 * first[name].double() + 0.25 * second[name].double()
    assert torch.equal(weights[name], expected.float())
    assert provenance("a.bin")["average"]["decay"] == 0.75
