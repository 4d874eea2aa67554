"""``artpack eval`` on a tiny model: the numbers, where they come from, and every mistake."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sentencepiece import SentencePieceProcessor
from torch import Tensor, nn

import artpack
from artpack.api.sources import check_device
from artpack.evaluation.tokens.shards import write_shard
from artpack.evaluation.tokens.stream import tokenize_text
from artpack.models import GPT, ModelConfig, build
from artpack.models.mechanisms import Rope, Smear, Softcap
from tests.cli.conftest import Invoke
from tests.evaluation.conftest import TEXT, train_tokenizer

ROOT = Path(artpack.__file__).parents[1]
DOCUMENTS = [TEXT, TEXT.lower(), TEXT[::-1], "1,234 houses"] * 4
WINDOWS = ("--window-tokens", 32)


@pytest.fixture(scope="module")
def tokenizer() -> SentencePieceProcessor:
    return train_tokenizer()


def random_weights(config: ModelConfig) -> dict[str, Tensor]:
    torch.manual_seed(0)
    model = GPT(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="module")
def config(tokenizer: SentencePieceProcessor) -> ModelConfig:
    rope, softcap = Rope(10000.0, 4), Softcap("tanh", 30.0)
    return ModelConfig(tokenizer.vocab_size(), 16, 2, 4, 2, 32, rope, softcap)


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: SentencePieceProcessor, config: ModelConfig
) -> Path:
    """Make a checkpoint with its config, its artifact, a tokenizer and the same tokens thrice."""
    folder = tmp_path_factory.mktemp("eval")
    weights = random_weights(config)
    torch.save(weights, folder / "ckpt.pt")
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    artpack.save(weights, folder / "a.bin", model=config, profile="fast")
    (folder / "sp.model").write_bytes(tokenizer.serialized_model_proto())
    text = "\0".join(DOCUMENTS)
    (folder / "val.txt").write_text(text)
    ids = tokenize_text(text, tokenizer).ids
    write_shard(folder / "val.bin", ids)
    np.save(folder / "val.npy", ids)
    return folder


@pytest.fixture
def told(invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that evaluates in the folder and gives the JSON."""
    monkeypatch.chdir(folder)

    def call(*args: object, tokens: str = "val.bin") -> Any:
        common = ("--tokens", tokens, "--tokenizer", "sp.model", *WINDOWS, "--json")
        done = invoke("eval", *common, *args)
        assert done.code == 0, done.err
        return json.loads(done.out)

    return call


def test_the_score_is_the_loss_over_the_bytes(
    told: Any, folder: Path, config: ModelConfig, tokenizer: SentencePieceProcessor
) -> None:
    found = told("a.bin")
    model = build(config, artpack.load(folder / "a.bin"))
    ids = torch.from_numpy(tokenize_text("\0".join(DOCUMENTS), tokenizer).ids.astype(np.int64))
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, 32):
            window = ids[start : start + 33]
            logits = model(window[None, :-1])[0].double()
            total += float(nn.functional.cross_entropy(logits, window[1:], reduction="sum"))
    bits = total / math.log(2) / sum(len(document) for document in DOCUMENTS)
    assert found["score"]["bits_per_byte"]["value"] == pytest.approx(bits, rel=1e-6)
    assert found["score"]["bytes"] == sum(len(document) for document in DOCUMENTS)
    assert found["score"]["documents"] == len(DOCUMENTS)
    assert found["score"]["coverage"]["scored"] == len(ids) - 1
    assert ModelConfig.from_json(found["model"]) == config
    assert found["sha256"].keys() == {"a.bin", "val.bin", "sp.model"}


def test_people_are_told_what_was_scored(invoke: Invoke, told: Any) -> None:
    command = ("a.bin", "--tokens", "val.bin", "--tokenizer", "sp.model", *WINDOWS)
    done = invoke("eval", *command, "--baseline", "ckpt.pt", "--check-bytes", "--stride-tokens", 8)
    assert done.code == 0
    found = told("a.bin", "--baseline", "ckpt.pt", "--check-bytes", "--stride-tokens", 8)
    increase = found["comparison"]["bits_per_byte_increase"]
    for words in (
        f"{increase['value']:+.6f} ± {increase['stderr']:.6f}",
        f"{found['score']['bytes']:,} bytes of text in 16 documents",
        "each once",
        "all scored; the last window has",
        "sliding, 32 tokens, 8 of them scored",
        "top-1 agreement",
        "bytes counted and decoded",
        found["sha256"]["a.bin"],
    ):
        assert words in done.out


def test_a_model_is_no_worse_than_itself(told: Any) -> None:
    found = told("ckpt.pt", "--baseline", "ckpt.pt")
    same = {name: number["value"] for name, number in found["comparison"].items()}
    assert same["bits_per_byte_increase"] == 0
    assert same["kl_nats"] == pytest.approx(0, abs=1e-7)
    assert same["top1_agreement"] == 1
    assert found["notes"] == ["model: read from config.json beside the checkpoint"]


def test_shards_arrays_and_text_score_the_same(told: Any) -> None:
    results = [told("a.bin", tokens=f"val.{kind}") for kind in ("bin", "npy", "txt")]
    assert len({json.dumps(found["score"]) for found in results}) == 1
    size = sum(len(document) for document in DOCUMENTS)
    note = f"val.txt has {size:,} bytes of text, its tokens stand for {size:,}"
    assert results[2]["notes"] == [note]


def test_precision_batches_and_limit_are_passed_on(told: Any) -> None:
    found = told("a.bin", "--limit-tokens", 100, "--batch-tokens", 64, "--precision", "bf16")
    assert found["score"]["coverage"]["targets"] == 100
    assert (found["settings"]["batch_tokens"], found["settings"]["precision"]) == (64, "bf16")
    exact = told("a.bin", "--limit-tokens", 100)["score"]["loss_nats"]["value"]
    assert 0 < abs(found["score"]["loss_nats"]["value"] - exact) < 0.05


def test_what_a_placement_repeats_or_skips_is_said(invoke: Invoke, told: Any) -> None:
    command = ("a.bin", "--tokens", "val.bin", "--tokenizer", "sp.model", *WINDOWS)
    coverage = told("a.bin", "--placement", "pr576", "--stride-tokens", 8)["score"]["coverage"]
    assert coverage["repeated"] > 0
    assert coverage["skipped"] > 0
    printed = invoke("eval", *command, "--placement", "pr576", "--stride-tokens", 8).out
    assert f"{coverage['repeated']:,} of them repeats" in printed
    assert f"{coverage['skipped']:,} tokens not scored" in printed


def test_documents_score_the_same_however_rows_are_filled(told: Any) -> None:
    found = told("a.bin", "--placement", "documents")
    coverage = found["score"]["coverage"]
    assert coverage["rows"] < coverage["windows"]
    alone = told("a.bin", "--placement", "documents", "--batch-tokens", 1)
    assert found["score"]["loss_nats"]["value"] == pytest.approx(
        alone["score"]["loss_nats"]["value"], rel=1e-6
    )


def test_published_defects_run_only_when_asked_for(
    told: Any, folder: Path, config: ModelConfig
) -> None:
    published = replace(
        config,
        rope=replace(config.rope, crosses_documents=True),
        smear=Smear("token", 4, crosses_documents=True),
    )
    weights = random_weights(published)
    artpack.save(weights, folder / "smear.bin", model=published, profile="fast")
    packed = ("smear.bin", "--placement", "pr1934-packed", "--window-tokens", 2)
    meant, faithful = told(*packed), told(*packed, "--faithful")
    assert meant["notes"] == ["the model runs without its published defects; see --faithful"]
    assert faithful["notes"] == []
    assert ModelConfig.from_json(faithful["model"]) == published
    assert meant["score"]["coverage"]["scored"] == faithful["score"]["coverage"]["scored"]
    assert meant["score"]["loss_sum_nats"] != faithful["score"]["loss_sum_nats"]


def test_a_wrong_count_of_bytes_is_found_before_scoring(invoke: Invoke, folder: Path) -> None:
    ids = np.load(folder / "val.npy")
    write_shard(folder / "wrong_bytes_.bin", np.ones(ids.size, np.int64))
    command = ("eval", "--tokens", folder / "val.npy", "--tokenizer", folder / "sp.model")
    assert invoke(*command, "--check-bytes").code == 0
    wrong = (*command, "--check-bytes", "--sidecar", folder / "wrong_bytes_.bin")
    done = invoke(*wrong, folder / "a.bin")
    assert done.code == 1
    assert "FAILED in 16 of 16 documents" in done.out
    assert "bits per byte" not in done.out
    told = json.loads(invoke(*wrong, "--json").out)
    assert told["byte_check"]["counted"] == ids.size


def write_empty_llama(folder: Path) -> None:
    """Write what tells a model of transformers, and a weight that is none of its."""
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"x": torch.zeros(2)}, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), "nothing to score: give ARTIFACT"),
        (("a.bin",), "give --tokenizer"),
        (("other", "--faithful"), "--faithful: only for models of artpack's own"),
        (("other", "--audit", "--ttt", "scalars"), "--ttt, --audit: only for models"),
        (("other",), "ends in .txt"),
        (("--check-bytes", "--baseline", "ckpt.pt", "--tokenizer", "sp.model"), "give both"),
        (("a.bin", "--tokenizer", "ckpt.pt"), "not a SentencePiece model"),
        (("a.bin", "--tokenizer", "sp.model", "--stride-tokens", "2000"), "stride_tokens is 2000"),
        (("a.bin", "--placement", "sequential", "--stride-tokens", "8"), "has no stride"),
        (("a.bin", "--tokenizer", "sp.model", "--model", "lm6m"), "describes another model"),
        (("other.pt", "--tokenizer", "sp.model"), "say it with --model"),
        (("a.bin", "--tokenizer", "sp.model", "--sidecar", "none_bytes_.bin"), "none_bytes_"),
    ],
)
def test_mistakes_are_named(
    invoke: Invoke,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    args: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(folder)
    torch.save({"x": torch.zeros(2)}, "other.pt")
    write_empty_llama(Path("other"))
    done = invoke("eval", *args, "--tokens", "val.bin")
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert len(done.err.splitlines()) == 1


def test_tokens_beyond_the_vocabulary_are_refused(
    invoke: Invoke, folder: Path, config: ModelConfig
) -> None:
    small = replace(config, vocab_size=100)
    artpack.save(random_weights(small), folder / "small.bin", model=small, profile="fast")
    paths = ("--tokens", folder / "val.bin", "--tokenizer", folder / "sp.model")
    assert (
        "beyond the model's vocabulary of 100" in invoke("eval", folder / "small.bin", *paths).err
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_gpu_is_named(invoke: Invoke, folder: Path) -> None:
    paths = ("--tokens", folder / "val.bin", "--tokenizer", folder / "sp.model")
    for device in ("cuda", "cuda:1"):
        told = invoke("eval", folder / "a.bin", *paths, "--device", device).err
        assert f"--device {device}: this machine has no such device" in told


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("nonsense", "torch knows no such device; give cpu, cuda, cuda:1, mps or xpu"),
        ("cuda:x", "torch knows no such device"),
        ("", "torch knows no such device"),
        ("meta", "tensors hold no numbers there"),
        ("hpu", "this machine has no such device"),
    ],
)
def test_devices_that_cannot_be(device: str, words: str) -> None:
    with pytest.raises(artpack.UsageError, match=words):
        check_device(device)


def test_cpus_may_be_numbered() -> None:
    check_device("cpu")
    check_device("cpu:0")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute on one thread, as each process of torchrun does: sums have an order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.slow
def test_torchrun_scores_what_one_process_does(told: Any, folder: Path) -> None:
    args = ("a.bin", "--baseline", "ckpt.pt", "--batch-tokens", "64")
    one = told(*args)
    launch = "-m torch.distributed.run --standalone --nproc-per-node 2 -m artpack_cli eval"
    files = "--tokens val.bin --tokenizer sp.model --window-tokens 32 --json"
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, *launch.split(), *args, *files.split()],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    two = json.loads(done.stdout)
    assert two["settings"]["processes"] == 2
    for name, number in one["comparison"].items():
        assert two["comparison"][name]["value"] == pytest.approx(
            number["value"], rel=1e-9, abs=1e-12
        )
    assert two["score"]["coverage"] == one["score"]["coverage"]
