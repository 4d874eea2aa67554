"""Scores that would be wrong are not certified: moved bytes, lost text, numbers that are none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from artpack_cli.render.tables import print_json
from sentencepiece import SentencePieceProcessor

from artpack.evaluation.tokens.shards import write_shard
from artpack.evaluation.tokens.stream import tokenize_text
from artpack.models import ModelConfig
from artpack.models.mechanisms import Rope, Softcap
from tests.cli.conftest import Invoke
from tests.cli.test_eval import DOCUMENTS, random_weights
from tests.evaluation.conftest import train_tokenizer, without_space_marks

TEXT = "\0".join(DOCUMENTS)
SMALL = ("--window-tokens", 32)
QUICK = ("--limit-tokens", 60, "--sample", 1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a checkpoint with its config, its tokenizer and tokens."""
    folder, tokenizer = tmp_path_factory.mktemp("wrong"), train_tokenizer()
    config = ModelConfig(430, 16, 1, 2, 2, 32, Rope(10000.0, 4), Softcap("tanh", 30.0))
    weights = random_weights(config)
    torch.save(weights, folder / "ckpt.pt")
    for value, name in ((np.nan, "nan.pt"), (np.inf, "inf.pt")):
        broken = {key: tensor.clone() for key, tensor in weights.items()}
        broken["blocks.0.mlp.fc.weight"][3, 5] = value
        torch.save(broken, folder / name)
    huge = {key: tensor * (1e30 if "mlp" in key else 1) for key, tensor in weights.items()}
    torch.save(huge, folder / "huge.pt")
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    put(folder, tokenizer)
    return folder


def put(folder: Path, tokenizer: SentencePieceProcessor, text: str = TEXT) -> np.ndarray:
    """Write a tokenizer, text and its tokens; return the bytes of each token."""
    (folder / "sp.model").write_bytes(tokenizer.serialized_model_proto())
    (folder / "val.txt").write_text(text)
    stream = tokenize_text(text, tokenizer)
    write_shard(folder / "val.bin", stream.ids)
    return stream.byte_counts


@pytest.fixture
def call(invoke: Invoke, files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return a function that runs a command in a folder of its own: exit code and output."""
    for path in files.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)

    def run(command: str, *args: object, weights: str = "ckpt.pt", tokens: str = "val.bin") -> Any:
        common = ("--tokens", tokens, "--tokenizer", "sp.model", *SMALL)
        return invoke(command, weights, *common, *args)

    return run


def strict(text: str) -> Any:
    """Read JSON that has no NaN in it."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


def test_bytes_moved_to_what_is_scored_are_found(call: Any, tmp_path: Path) -> None:
    counts = put(tmp_path, train_tokenizer())
    starts = np.flatnonzero(tokenize_text(TEXT, train_tokenizer()).ids == 1)
    moved = np.zeros_like(counts)
    for start, stop in zip(starts, [*starts[1:], counts.size], strict=True):
        moved[start + 1] = counts[start:stop].sum()
    write_shard(tmp_path / "moved_bytes_.bin", moved)
    beside = ("--sidecar", "moved_bytes_.bin")
    limited = strict(call("eval", *beside, "--limit-tokens", 30, "--json").out)
    assert limited["score"]["bytes"] > counts[:31].sum()
    assert "bytes are those of the sidecar as it is" in limited["notes"][0]
    checked = call("eval", *beside, "--limit-tokens", 30, "--check-bytes")
    assert checked.code == 1
    assert "FAILED in 16 of 16 documents" in checked.out
    assert "wrong from token 1 on" in checked.out
    assert "bits per byte" not in checked.out
    audited = call("audit", *beside, *QUICK)
    assert audited.code == 1
    assert "wrong from token 1 on" in audited.out
    assert call("eval", *beside, "--limit-tokens", 300, "--audit").code == 1


@pytest.mark.parametrize("sidecar", ["honest", "ids"])
def test_sidecars_are_compared_with_the_text(call: Any, tmp_path: Path, sidecar: str) -> None:
    counts = put(tmp_path, train_tokenizer())
    write_shard(tmp_path / "honest_bytes_.bin", counts)
    name = "val.bin" if sidecar == "ids" else "honest_bytes_.bin"
    done = call("eval", "--sidecar", name, "--check-bytes")
    assert done.code == (1 if sidecar == "ids" else 0)


def test_sidecars_of_another_length_or_kind_are_refused(call: Any, tmp_path: Path) -> None:
    counts = put(tmp_path, train_tokenizer())
    write_shard(tmp_path / "short_bytes_.bin", counts[:-1])
    np.save(tmp_path / "float_bytes_.npy", counts.astype(np.float64))
    assert "entries for" in call("eval", "--sidecar", "short_bytes_.bin").err
    refused = call("eval", "--sidecar", "float_bytes_.npy")
    assert refused.code == 2
    assert len(refused.err.splitlines()) == 1


@pytest.mark.parametrize("tokens", ["val.bin", "val.txt"])
def test_a_tokenizer_without_space_marks_is_counted_right_and_told(
    call: Any, tmp_path: Path, tokens: str
) -> None:
    put(tmp_path, without_space_marks(train_tokenizer()))
    found = strict(call("eval", "--json", tokens=tokens).out)
    assert found["score"]["bytes"] == len(TEXT.replace("\0", "").encode())
    assert any("do not give their text back" in note for note in found["notes"])
    checked = call("eval", "--check-bytes", tokens=tokens)
    assert checked.code == 1
    assert "do not give their text back" in checked.out
    assert call("audit", *QUICK, tokens=tokens).code == 1


@pytest.mark.parametrize("tokens", ["val.bin", "val.txt"])
@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ({"byte_fallback": False, "vocab_size": 60}, "the cat \u65e5 sat", "unknown pieces"),
        ({"normalization_rule_name": "nmt_nfkc_cf"}, "The CAT sat", "capitals are lost"),
    ],
)
def test_lost_text_is_told_and_fails_the_check(
    call: Any, tmp_path: Path, *, tokens: str, kind: dict[str, Any], text: str, words: str
) -> None:
    put(tmp_path, train_tokenizer(**kind), text)
    plain = call("eval", tokens=tokens)
    assert plain.code == 0
    assert words in plain.err
    assert call("eval", "--check-bytes", tokens=tokens).code == 1
    audited = call("audit", "--limit-tokens", 3, "--sample", 1, tokens=tokens)
    assert audited.code == 1
    assert words in audited.out


def test_text_is_compared_with_what_its_tokens_decode_to(call: Any, tmp_path: Path) -> None:
    put(tmp_path, train_tokenizer(), "the \ufb01ne cat\0the cat")
    assert "1 documents are lost" in call("eval", tokens="val.txt").err
    assert call("eval", "--check-bytes", tokens="val.txt").code == 1
    assert call("eval", "--check-bytes", tokens="val.bin").code == 0
    put(tmp_path, train_tokenizer(), "the\n\ncat sat \n\0the cat\n")
    assert call("eval", "--check-bytes", tokens="val.txt").code == 0


@pytest.mark.parametrize(
    "kind",
    [
        {
            "split_by_whitespace": False,
            "split_by_number": False,
            "split_by_unicode_script": False,
            "vocab_size": 420,
        },
        {"treat_whitespace_as_suffix": True},
    ],
)
def test_marks_inside_pieces_count_one_byte_unless_faithful(
    call: Any, tmp_path: Path, kind: dict[str, Any]
) -> None:
    put(tmp_path, train_tokenizer(**kind))
    right = strict(call("eval", "--check-bytes", "--json").out)
    assert right["score"]["bytes"] == len(TEXT.replace("\0", "").encode())
    published = strict(call("eval", "--faithful", "--json").out)
    assert published["score"]["bytes"] > right["score"]["bytes"]
    assert call("eval", "--faithful", "--check-bytes").code == 1
    assert call("audit", "--faithful", *QUICK).code == 1


@pytest.mark.parametrize(
    "more", [(), ("--baseline", "ckpt.pt"), ("--ngram",), ("--ttt", "scalars")]
)
@pytest.mark.parametrize("weights", ["nan.pt", "inf.pt"])
def test_weights_that_are_no_numbers_are_named(
    call: Any, weights: str, more: tuple[str, ...]
) -> None:
    done = call("eval", *more, "--json", weights=weights)
    assert (done.code, done.out) == (1, "")
    value = weights.removesuffix(".pt")
    assert f"{weights}: tensor 'blocks.0.mlp.fc.weight' is {value} at [3, 5]" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_baseline_that_is_no_number_is_named(call: Any) -> None:
    done = call("eval", "--baseline", "nan.pt")
    assert done.code == 1
    assert "nan.pt: tensor 'blocks.0.mlp.fc.weight'" in done.err


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("--baseline", "ckpt.pt"),
        ("--ngram",),
        ("--ttt", "scalars"),
        ("--attribute",),
        ("--placement", "documents"),
    ],
)
def test_scores_that_are_no_numbers_are_named(call: Any, more: tuple[str, ...]) -> None:
    done = call("eval", *more, "--json", weights="huge.pt")
    assert (done.code, done.out) == (1, "")
    assert "target 0 and" in done.err
    assert "no finite numbers" in done.err


def test_what_is_no_number_is_not_audited(call: Any) -> None:
    done = call("audit", *QUICK, "--json", weights="huge.pt")
    assert (done.code, done.out) == (1, "")
    assert "target 0 and 59 more" in done.err
    assert "tensor 'blocks.0.mlp.fc.weight'" in call("audit", *QUICK, weights="nan.pt").err


def test_nothing_is_calibrated_on_what_is_no_number(call: Any, tmp_path: Path) -> None:
    done = call("calibrate", "-o", "a.calibration", weights="nan.pt")
    assert done.code == 1
    assert "tensor 'blocks.0.mlp.fc.weight' is nan" in done.err
    assert not (tmp_path / "a.calibration").exists()


def test_json_has_no_word_for_what_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"loss": float("nan"), "rates": (1.5, float("-inf")), "more": [{"a": None}]})
    assert strict(capsys.readouterr().out) == {
        "loss": None,
        "rates": [1.5, None],
        "more": [{"a": None}],
    }


def test_an_audit_resumes_nothing(call: Any) -> None:
    done = call("eval", "--ttt", "scalars", "--resume", "state", "--audit")
    assert done.code == 2
    assert "--audit takes no --resume" in done.err
