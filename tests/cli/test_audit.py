"""``artpack audit``, ``eval --audit`` and ``eval --ngram`` on a tiny model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artpack.evaluation.tokens.shards import read_shard, write_shard
from artpack.evaluation.tokens.stream import tokenize_text
from artpack.models import ModelConfig
from artpack.models.mechanisms import Rope, Softcap
from tests.cli.conftest import Invoke
from tests.cli.test_eval import DOCUMENTS, random_weights
from tests.evaluation.conftest import train_tokenizer

COMMON = ("--tokens", "val.bin", "--tokenizer", "sp.model", "--window-tokens", 32)
SCALARS = ("--ttt", "scalars", "--ttt-set", "chunk_tokens=64")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a checkpoint with its config, a tokenizer, tokens, and other ones to train on."""
    folder, tokenizer = tmp_path_factory.mktemp("audit"), train_tokenizer()
    rope, softcap = Rope(10000.0, 4), Softcap("tanh", 30.0)
    config = ModelConfig(tokenizer.vocab_size(), 16, 1, 2, 2, 32, rope, softcap)
    torch.save(random_weights(config), folder / "ckpt.pt")
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    (folder / "sp.model").write_bytes(tokenizer.serialized_model_proto())
    ids = tokenize_text("\0".join(DOCUMENTS), tokenizer).ids
    write_shard(folder / "val.bin", ids)
    write_shard(folder / "train.bin", np.array([1, 9, 9, 1, 8], np.uint16))
    write_shard(folder / "dirty.bin", ids[:200])
    return folder


@pytest.fixture
def call(invoke: Invoke, files: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs a command on the checkpoint: exit code and output."""
    monkeypatch.chdir(files)
    return lambda command, *args: invoke(command, "ckpt.pt", *COMMON, *args)


@pytest.mark.parametrize("more", [(), SCALARS, ("--ngram",), (*SCALARS, "--ngram", "published")])
def test_honest_scores_pass(call: Any, more: tuple[str, ...]) -> None:
    done = call("audit", *more, "--train-tokens", "train.bin", "--limit-bytes", 10**9, "--json")
    assert done.code == 0, done.err
    audit = json.loads(done.out)["audit"]
    names = [condition["name"] for condition in audit["conditions"]]
    assert names == ["C1", "C2", "C3", "C4", "bytes", "overlap", "size"]
    assert audit["passed"]
    assert audit["sample"] == {"cuts": 3, "rows": 64, "seed": 0}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--limit-bytes", 100), "more than the limit of 100"),
        (("--train-tokens", "dirty.bin"), "is in dirty.bin at token 0"),
        (("--placement", "pr576", "--stride-tokens", 8), "targets are scored again"),
        (("--placement", "pr2086", "--stride-tokens", 8), ": not scored"),
    ],
)
def test_violations_are_printed_and_are_the_exit_code(
    call: Any, more: tuple[object, ...], words: str
) -> None:
    done = call("audit", *more)
    assert done.code == 1
    assert words in done.out
    assert "FAILED" in done.out.splitlines()[-4]


def test_the_seed_and_the_sample_are_said(call: Any) -> None:
    done = call("audit", "--sample", 2, "--seed", 7, "--limit-tokens", 100)
    assert "2 cuts and 64 distributions, seed 7, in the first 100 targets" in done.out


def test_what_the_sample_would_miss_is_said(call: Any) -> None:
    found = json.loads(call("audit", "--sample", 2, "--json").out)["audit"]
    rows = 2 + min(64, found["audited_targets"])
    assert [missed["share"] for missed in found["missed"]] == [0.001, 0.01, 0.1]
    for missed in found["missed"]:
        assert missed["own_target"] == pytest.approx((1 - missed["share"]) ** 2, abs=1e-6)
        assert missed["distribution"] == pytest.approx((1 - missed["share"]) ** rows, abs=1e-6)
    printed = call("audit", "--sample", 2).out
    assert "10.0% of them: 81.0% if only its own target shows it" in printed
    for word in ("prove", "proof", "legal", "no way out"):
        assert word not in printed


def test_a_document_of_training_with_one_other_token_is_found(call: Any, tmp_path: Path) -> None:
    ids = read_shard(Path("val.bin")).copy()
    starts = np.flatnonzero(ids == 1)
    ids[starts + 2] = 7
    write_shard(tmp_path / "near.bin", ids)
    done = call("audit", "--train-tokens", tmp_path / "near.bin", "--json")
    overlap = json.loads(done.out)["audit"]["conditions"][5]
    assert done.code == 1
    # Those of two tokens have no other one to be known by.
    assert overlap["count"] == np.count_nonzero(np.diff([*starts, ids.size]) > 8) == 12
    assert overlap["numbers"]["shared_tokens"] > 0.5


def test_eval_audits_on_request(call: Any) -> None:
    done = call("eval", "--audit", "--ngram")
    assert done.code == 0, done.err
    assert "audit" in done.out
    done = call("eval", "--audit", "--placement", "pr576", "--stride-tokens", 8)
    assert done.code == 1
    assert "targets are scored again" in done.out


@pytest.mark.parametrize("more", [(), SCALARS])
def test_the_mixture_is_shown_beside_what_the_lookup_would_claim(
    call: Any, more: tuple[str, ...]
) -> None:
    plain = json.loads(call("eval", *more, "--json").out)
    found = json.loads(call("eval", *more, "--ngram", "--json").out)
    facts = found["ngram"]
    bits = plain["score"]["bits_per_byte"]["value"]
    assert facts["model"]["bits_per_byte"]["value"] == pytest.approx(bits, rel=1e-6)
    assert found["score"]["bits_per_byte"]["value"] < bits
    assert facts["mixed_sum_error"] < 1e-12
    assert facts["claimed_sum"] > 2
    text = call("eval", *more, "--ngram").out
    assert "which is no code length" in text
    assert f"{facts['claimed']['bits_per_byte']['value']:.6f}" in text


def test_attribution_goes_on_to_ngrams(call: Any) -> None:
    found = json.loads(call("eval", *SCALARS, "--attribute", "--ngram", "--json").out)
    rows = found["attribution"]
    assert rows[-1]["what"] == "the same, n-grams mixed in"
    alone = json.loads(
        call("eval", *SCALARS, "--ttt-set", "fit_temperature=true", "--ngram", "--json").out
    )
    assert rows[-1]["score"]["bits_per_byte"] == pytest.approx(alone["score"]["bits_per_byte"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--ngram", "--baseline", "ckpt.pt"), "--ngram scores one model"),
        (("--ngram", "--ttt", "--two-pass"), "leave --two-pass and --resume out"),
        (("--ngram", "--placement", "pr576", "--stride-tokens", 8), "take another placement"),
        (("--ngram", "--ttt", "pr826", "--faithful"), "learn from later ones"),
        (("--audit", "--baseline", "ckpt.pt"), "--audit takes one ARTIFACT"),
        (("--audit", "--ttt", "--two-pass"), "leave --two-pass and --attribute out"),
    ],
)
def test_what_does_not_go_together_is_named(
    call: Any, more: tuple[object, ...], words: str
) -> None:
    done = call("eval", *more)
    assert done.code == 2
    assert words in done.err
