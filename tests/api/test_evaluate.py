"""artpack.evaluate: every way to score, without a command line and mostly without files."""

import csv
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import artpack
from artpack import AuditOptions, Sample, Settings, Stream, TttOptions, UsageError, WindowOptions
from artpack.errors import CheckpointError
from artpack.evaluation.scoring.score import score
from artpack.evaluation.windows.placements import place
from artpack.evaluation.windows.plan import share_rows
from tests.api.conftest import DOCUMENTS, Scored, Told

WINDOWS = WindowOptions(window_tokens=32)
SCALARS = ("chunk_tokens=64", "rule.lr=0.1")


def bits(found: artpack.EvalResult) -> float:
    assert found.score is not None
    return found.score.bits_per_byte.value


def test_a_module_and_a_stream_are_scored_without_a_file(scored: Scored, told: Told) -> None:
    found = artpack.evaluate(scored.model, scored.stream, windows=WINDOWS, progress=told)
    ids = scored.stream.ids
    plan = share_rows(place("sliding", ids, 32, 32))
    assert found.score == score(scored.model, ids, plan, scored.stream.byte_counts)
    assert (found.model, found.passed, found.notes) == (scored.model.config, True, ())
    assert list(found.sha256) == ["the weights"]
    assert list(told.phases) == ["scoring"]
    told.check(*told.phases)
    assert repr(found).startswith(f"<EvalResult of the weights: {bits(found):.6f} ± ")
    assert repr(found).endswith(" nats per token>")


def test_weights_and_tokens_score_the_same_wherever_they_are(
    scored: Scored, scored_files: Path
) -> None:
    config, tokenizer, ids = scored.model.config, scored.tokenizer, scored.stream.ids
    artpack.save(scored.model.state_dict(), scored_files / "a.bin", model=config, recipe="lossless")
    packed = artpack.compress(scored.model, recipe="lossless", profile="fast")
    with artpack.open(scored_files / "a.bin") as opened:
        ways = [
            artpack.evaluate(source, tokens, tokenizer=known, model=model, windows=WINDOWS)
            for source, tokens, known, model in (
                (scored.model, scored.stream, None, None),
                (scored.model.state_dict(), ids, tokenizer, config),
                (
                    scored_files / "ckpt.pt",
                    str(scored_files / "val.bin"),
                    scored_files / "sp.model",
                    None,
                ),
                (scored_files / "a.bin", scored_files / "val.txt", scored_files / "sp.model", None),
                (opened, scored.stream, tokenizer, None),
                (packed, scored.stream, None, None),
            )
        ]
    assert len({bits(found) for found in ways}) == 1
    assert ways[2].to_json()["sha256"].keys() == {
        str(scored_files / name) for name in ("ckpt.pt", "val.bin", "sp.model")
    }


def test_bytes_may_come_as_an_array(scored: Scored) -> None:
    ids, counts, tokenizer = scored.stream.ids, scored.stream.byte_counts, scored.tokenizer
    found = artpack.evaluate(
        scored.model, ids, tokenizer=tokenizer, sidecar=counts, windows=WINDOWS, check_bytes=True
    )
    assert found.byte_check is not None
    assert found.byte_check.counted == sum(map(len, DOCUMENTS))
    wrong = artpack.evaluate(
        scored.model, ids, tokenizer=tokenizer, sidecar=np.ones_like(counts), check_bytes=True
    )
    assert (wrong.score, wrong.passed) == (None, False)
    assert repr(wrong) == "<EvalResult of the weights: byte check FAILED>"
    alone = artpack.evaluate(None, ids, tokenizer=tokenizer, check_bytes=True)
    assert alone.passed
    assert "score" not in alone.to_json()


def test_a_packed_file_is_compared_with_its_checkpoint(scored: Scored, told: Told) -> None:
    packed = artpack.compress(scored.model, recipe="int4", profile="fast")
    found = artpack.evaluate(
        packed, scored.stream, baseline=scored.model, windows=WINDOWS, progress=told
    )
    assert found.comparison is not None
    assert found.score == found.comparison.packed
    assert found.comparison.kl_nats.value > 0
    data = found.to_json()
    assert data["comparison"].keys() == {"bits_per_byte_increase", "kl_nats", "top1_agreement"}
    assert data["baseline"]["bits_per_byte"]["value"] == bits(
        artpack.evaluate(scored.model, scored.stream, windows=WINDOWS)
    )
    told.check("scoring")


def test_windows_limits_and_settings_are_kept_to(scored: Scored) -> None:
    windows = WindowOptions(
        placement="documents", window_tokens=32, stride_tokens=8, limit_tokens=100
    )
    settings = Settings(precision="bf16", batch_tokens=64)
    found = artpack.evaluate(scored.model, scored.stream, windows=windows, settings=settings)
    assert found.score is not None
    assert found.score.coverage.targets == 100
    data = found.to_json()["settings"]
    assert (data["placement"], data["stride_tokens"]) == ("documents", 8)
    assert (data["precision"], data["batch_tokens"]) == ("bf16", 64)


def test_a_model_learns_while_it_is_scored(scored: Scored, told: Told, tmp_path: Path) -> None:
    ttt = TttOptions(recipe="scalars", overrides=SCALARS, two_pass=True)
    found = artpack.evaluate(scored.model, scored.stream, ttt=ttt, windows=WINDOWS, progress=told)
    assert found.ttt is not None
    assert found.ttt.score_first
    assert found.ttt.updates > 0
    assert found.ttt.second_pass is not None
    assert bits(found) < bits(artpack.evaluate(scored.model, scored.stream, windows=WINDOWS))
    assert list(told.phases) == ["scoring", "second pass"]
    told.check(*told.phases)
    assert any(note.startswith(f"{bits(found):.4f} bits per byte so far") for note in told.notes)
    found.ttt.save_curve(tmp_path / "curve.csv")
    rows = list(csv.DictReader((tmp_path / "curve.csv").read_text().splitlines()))
    assert float(rows[-1]["bits_per_byte"]) == pytest.approx(bits(found))
    data = found.to_json()
    assert data["ttt"]["recipe"]["name"] == "scalars"
    assert data["windows"] == {"placement": "sliding", "window_tokens": 32, "stride_tokens": 32}


def test_an_artifact_carries_its_recipe(scored: Scored) -> None:
    packed = artpack.compress(scored.model, recipe="int8", profile="fast", ttt="blocks")
    ttt = TttOptions(overrides=("chunk_tokens=64",))
    for source, name in ((packed, "blocks"), (scored.model, "scalars")):
        found = artpack.evaluate(source, scored.stream, ttt=ttt, windows=WINDOWS)
        assert found.recipe is not None
        assert found.recipe.name == name


def test_what_was_stopped_is_carried_on(scored: Scored, tmp_path: Path) -> None:
    state = tmp_path / "state"
    ttt = TttOptions(recipe="scalars", overrides=SCALARS, state=state)
    whole = artpack.evaluate(
        scored.model,
        scored.stream,
        ttt=TttOptions(recipe="scalars", overrides=SCALARS),
        windows=WINDOWS,
    )

    def interrupt(phase: str, done: int, total: int, note: str = "") -> None:
        if done > total // 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        artpack.evaluate(scored.model, scored.stream, ttt=ttt, windows=WINDOWS, progress=interrupt)
    assert state.exists()
    resumed = artpack.evaluate(scored.model, scored.stream, ttt=ttt, windows=WINDOWS)
    assert resumed.ttt is not None
    assert resumed.ttt.resumed_steps > 0
    assert resumed.score == whole.score
    assert not state.exists()


def test_the_gain_is_taken_apart(scored: Scored, told: Told) -> None:
    ttt = TttOptions(recipe="scalars", overrides=SCALARS, attribute=True)
    found = artpack.evaluate(
        scored.model, scored.stream, ttt=ttt, ngram="learned", windows=WINDOWS, progress=told
    )
    rows = [row.what for row in found.attribution]
    assert rows[0] == "windows side by side"
    assert rows[-1] == "the same, n-grams mixed in"
    assert list(told.phases) == rows[:-1]
    told.check(*told.phases)
    assert [row["what"] for row in found.to_json()["attribution"]] == rows
    assert rows[-1] in repr(found)


@pytest.mark.parametrize("ttt", [None, TttOptions(recipe="scalars", overrides=SCALARS)])
def test_ngrams_are_mixed_in(scored: Scored, told: Told, ttt: TttOptions | None) -> None:
    plain = artpack.evaluate(scored.model, scored.stream, ttt=ttt, windows=WINDOWS)
    found = artpack.evaluate(
        scored.model, scored.stream, ttt=ttt, ngram="learned", windows=WINDOWS, progress=told
    )
    assert found.ngram is not None
    assert found.score == found.ngram.mixed
    assert found.ngram.model.bits_per_byte.value == pytest.approx(bits(plain), rel=1e-6)
    assert bits(found) < bits(plain)
    assert list(told.phases) == ["scoring"]
    told.check(*told.phases)
    data = found.to_json()["ngram"]
    assert (data["mixer"], "mixed" in data) == ("learned", False)


def test_a_score_is_audited_on_request(scored: Scored, told: Told) -> None:
    options = AuditOptions(sample=Sample(cuts=1))
    found = artpack.evaluate(
        scored.model,
        scored.stream,
        tokenizer=scored.tokenizer,
        audit=options,
        windows=WINDOWS,
        progress=told,
    )
    assert found.audit is not None
    assert found.passed
    assert list(told.phases) == ["scoring", "auditing"]
    windows = WindowOptions(placement="pr576", window_tokens=32, stride_tokens=8)
    found = artpack.evaluate(
        scored.model, scored.stream, tokenizer=scored.tokenizer, audit=options, windows=windows
    )
    assert not found.passed
    assert repr(found).endswith("audit FAILED>")


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """Write a Llama that finds all of 128 letters equally likely, and its tokenizer."""
    transformers: Any = pytest.importorskip("transformers", reason="transformers is not installed")
    tokenizers: Any = pytest.importorskip("tokenizers")
    start = "<s>"
    alphabet = {start: 0, **{chr(i): i for i in range(1, 128)}}
    raw = tokenizers.Tokenizer(tokenizers.models.BPE(alphabet, []))
    raw.decoder = tokenizers.decoders.Fuse()
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, bos_token=start)
    wrapped.save_pretrained(tmp_path)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=128,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=16,
        )
    )
    torch.nn.init.zeros_(model.lm_head.weight)
    model.save_pretrained(tmp_path)
    (tmp_path / "val.txt").write_text("\0".join(DOCUMENTS))
    return tmp_path


def test_a_model_of_hugging_face_is_scored_by_its_text(letters: Path) -> None:
    windows = WindowOptions(window_tokens=16)
    found = artpack.evaluate(letters, letters / "val.txt", windows=windows, check_bytes=True)
    assert bits(found) == pytest.approx(7 * (1 + 15 / sum(map(len, DOCUMENTS))))
    assert found.byte_check is not None
    assert found.byte_check.sound
    assert found.what == str(letters)
    assert artpack.evaluate(letters, letters / "val.txt").windows == windows
    longer = WindowOptions(window_tokens=17)
    with pytest.raises(UsageError, match="takes 16 tokens at most: give `window_tokens`"):
        artpack.evaluate(letters, letters / "val.txt", windows=longer)


def test_what_does_not_go_together_is_named(scored: Scored, scored_files: Path) -> None:
    model, stream, tokenizer = scored.model, scored.stream, scored.tokenizer
    ids = stream.ids
    two_pass = TttOptions(two_pass=True)
    mistakes: list[tuple[dict[str, object], str]] = [
        ({"source": None, "tokens": stream}, "nothing to score: give `source`"),
        ({"source": model, "tokens": ids}, "give `tokenizer`"),
        ({"source": model, "tokens": stream, "sidecar": ids}, "leave `sidecar` out"),
        ({"source": model, "tokens": ids[None], "tokenizer": tokenizer}, "ids (tokens,)"),
        (
            {"source": model, "tokens": ids, "tokenizer": tokenizer, "sidecar": ids[1:]},
            "integers are needed",
        ),
        ({"source": model, "tokens": ids, "tokenizer": tokenizer, "sidecar": "x"}, "an array, too"),
        ({"source": model, "tokens": stream, "ngram": "learnt"}, "did you mean 'learned'"),
        ({"source": model, "tokens": stream, "ngram": "learned", "ttt": two_pass}, "one whole"),
        (
            {"source": model, "tokens": stream, "ttt": two_pass, "audit": AuditOptions()},
            "one score",
        ),
        ({"source": model, "tokens": stream, "ttt": "scalars", "baseline": model}, "no `baseline`"),
        ({"source": model, "tokens": stream, "audit": AuditOptions()}, "give `tokenizer`"),
        ({"source": model.state_dict(), "tokens": stream, "model": "lm6m"}, "another model"),
        ({"source": {"x": ids}, "tokens": stream}, "state dict"),
    ]
    for arguments, words in mistakes:
        with pytest.raises((UsageError, artpack.CheckpointError), match=re.escape(words)):
            artpack.evaluate(**arguments)  # type: ignore[arg-type]
    for tokens, words in (
        (Stream(ids[:1], stream.byte_counts[:1]), "fewer than two"),
        (Stream(ids.astype(np.int64) - 9, stream.byte_counts), "ids run from -8 to"),  # type: ignore[arg-type]
        (Stream(ids, stream.byte_counts[1:]), f"{ids.size} integers are needed"),
        (Stream(ids, -stream.byte_counts), "bytes are 0 or more"),
    ):
        with pytest.raises(UsageError, match=words):
            artpack.evaluate(model, tokens, windows=WINDOWS)
    with pytest.raises(UsageError, match="takes no `two_pass`"):
        TttOptions(attribute=True, two_pass=True)
    with pytest.raises(UsageError, match="has no stride"):
        WindowOptions(placement="sequential", stride_tokens=8)
    with pytest.raises(UsageError, match="`limit_tokens` must be 1 or more"):
        WindowOptions(limit_tokens=0)
    far = Stream(ids + 9999, stream.byte_counts)
    with pytest.raises(UsageError, match="beyond the model's vocabulary"):
        artpack.evaluate(model, far, windows=WINDOWS)


def test_what_is_not_there_is_named_before_its_tokens(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("some text")
    with pytest.raises(CheckpointError, match=r"none\.artpack: no such file or folder"):
        artpack.evaluate(tmp_path / "none.artpack", tmp_path / "val.txt")
