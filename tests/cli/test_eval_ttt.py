"""``artpack eval --ttt`` on a tiny model: what it says, what it writes, and every mistake."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.selection import select
from artpack.coding.profiles import profile_named
from artpack.evaluation.tokens.shards import write_shard
from artpack.evaluation.tokens.stream import read_stream, tokenize_text
from artpack.evaluation.ttt.adaptation import adapt
from artpack.evaluation.ttt.load import load_recipe, recipe_data
from artpack.evaluation.ttt.recipe import placed
from artpack.models import ModelConfig, build
from artpack.models.mechanisms import Rope, Softcap
from artpack.pack.compress import compress
from artpack.recipes import load_recipe as load_packing
from artpack.system.atomic import write_atomically
from tests.cli.conftest import Invoke
from tests.cli.test_eval import DOCUMENTS, random_weights
from tests.evaluation.conftest import train_tokenizer

SMALL = ("--ttt-set", "chunk_tokens=64", "--ttt-set", "rule.lr=0.1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a checkpoint, an artifact that carries a recipe, a tokenizer and tokens."""
    folder, tokenizer = tmp_path_factory.mktemp("ttt"), train_tokenizer()
    rope, softcap = Rope(10000.0, 4), Softcap("tanh", 30.0)
    config = ModelConfig(tokenizer.vocab_size(), 16, 2, 4, 2, 32, rope, softcap)
    torch.save(random_weights(config), folder / "ckpt.pt")
    (folder / "config.json").write_text(json.dumps(config.to_json()))
    with open_checkpoint(folder / "ckpt.pt") as checkpoint:
        packed = compress(
            checkpoint,
            select(checkpoint),
            load_packing("int8"),
            model=config.to_json(),
            profile=profile_named("fast"),
            provenance={"ttt": {**recipe_data("blocks"), "chunk_tokens": 96}},
        )
    write_atomically(folder / "a.bin", packed.pieces)
    (folder / "sp.model").write_bytes(tokenizer.serialized_model_proto())
    write_shard(folder / "val.bin", tokenize_text("\0".join(DOCUMENTS), tokenizer).ids)
    return folder


@pytest.fixture
def told(invoke: Invoke, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that evaluates in the folder and gives exit code and output."""
    monkeypatch.chdir(folder)

    def call(what: str, *args: object) -> Any:
        common = ("--tokens", "val.bin", "--tokenizer", "sp.model", "--window-tokens", 32)
        return invoke("eval", what, *common, *args)

    return call


def test_the_score_is_that_of_the_library(told: Any, folder: Path) -> None:
    done = told("ckpt.pt", "--ttt", "scalars", *SMALL, "--stride-tokens", 16, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    recipe = load_recipe("scalars", ["chunk_tokens=64", "rule.lr=0.1"]).recipe
    config = ModelConfig.from_json(json.loads((folder / "config.json").read_text()))
    model = build(config, torch.load(folder / "ckpt.pt", weights_only=True))
    stream = read_stream(str(folder / "val.bin"), train_tokenizer())
    adapted = adapt(model, stream, placed(recipe, 32, 16))
    bits = found["score"]["bits_per_byte"]["value"]
    assert bits == pytest.approx(adapted.score.bits_per_byte.value, rel=1e-9)
    assert found["ttt"]["score_first"] is True
    assert found["ttt"]["updates"] == len(adapted.updates)
    assert found["ttt"]["recipe"]["name"] == "scalars"
    assert found["windows"] == {
        "placement": "sliding",
        "window_tokens": 32,
        "stride_tokens": 16,
    }


def test_alone_the_flag_takes_the_recipe_that_the_artifact_carries(told: Any) -> None:
    done = told("a.bin", "--json", "--ttt")
    found = json.loads(done.out)["ttt"]["recipe"]
    assert (found["name"], found["strategy"], found["chunk_tokens"]) == ("blocks", "blocks", 96)
    done = told("ckpt.pt", *SMALL, "--json", "--ttt")
    assert json.loads(done.out)["ttt"]["recipe"]["name"] == "scalars"


def test_compress_gives_an_artifact_its_recipe(told: Any, invoke: Invoke) -> None:
    done = invoke("compress", "ckpt.pt", "-o", "b.bin", "--profile", "fast", "--ttt", "lora")
    assert done.code == 0, done.err
    done = told("b.bin", "--json", "--ttt-set", "chunk_tokens=16", "--ttt")
    assert json.loads(done.out)["ttt"]["recipe"]["name"] == "lora"
    done = invoke("compress", "ckpt.pt", "-o", "b.bin", "--ttt", "lorra")
    assert done.code == 2
    assert "did you mean 'lora'?" in done.err


def test_people_are_told_how_it_was_scored(told: Any) -> None:
    blocks = ("--ttt-set", "chunk_tokens=64", "--ttt-set", "rule.lr=0.01")
    done = told("ckpt.pt", "--ttt", "blocks", *blocks, "--two-pass")
    assert done.code == 0, done.err
    assert "blocks (blocks), " in done.out
    assert "updates, score-first" in done.out
    assert "second pass, not score-first" in done.out
    fitted = ("--ttt-set", "fit_temperature=true", "--ttt-set", "documents=4")
    done = told("ckpt.pt", "--ttt", "lora", "--ttt-set", "chunk_tokens=16", *fitted)
    assert "documents, 32 tokens, 16 of them scored" in done.out
    assert "temperature" in done.out


def test_the_gain_is_taken_apart(told: Any) -> None:
    done = told("ckpt.pt", "--attribute", "--ttt", "scalars", *SMALL, "--stride-tokens", 16)
    assert done.code == 0, done.err
    for row in (
        "windows side by side",
        "the recipe's windows",
        "its loop at learning rate 0",
        "learning",
        "learning, temperature fitted on what was scored",
    ):
        assert f"\n{row} " in done.out


def test_the_curve_ends_at_the_score(told: Any, tmp_path: Path) -> None:
    curve = tmp_path / "curve.csv"
    done = told("ckpt.pt", "--ttt", "scalars", *SMALL, "--save-curve", curve, "--json")
    rows = list(csv.DictReader(curve.read_text().splitlines()))
    score = json.loads(done.out)["score"]
    assert len(rows) > 2
    assert int(rows[-1]["scored"]) == score["coverage"]["scored"]
    assert float(rows[-1]["bits_per_byte"]) == pytest.approx(score["bits_per_byte"]["value"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--ttt", "scalar"), "unknown recipe 'scalar' (did you mean 'scalars'?)"),
        (("--ttt", "scalars", "--ttt-set", "rule.lrs=1"), "did you mean 'lr'?"),
        (("--two-pass",), "go with --ttt"),
        (("--ttt", "lora", "--two-pass", "--ttt-set", "chunk_tokens=16"), "keeps nothing"),
        (("--ttt", "scalars", "--placement", "documents"), "leave --placement out"),
        (("--ttt", "scalars", "--baseline", "ckpt.pt"), "no --baseline"),
        (("--attribute", "--two-pass"), "--attribute takes no --two-pass"),
        (("--ttt", "pr2086", "--ttt-set", "chunk_tokens=8"), "is less than a window"),
    ],
)
def test_mistakes_are_named(told: Any, args: tuple[str, ...], message: str) -> None:
    done = told("ckpt.pt", *args)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_state_that_is_none_is_refused(told: Any, tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"nothing")
    done = told("ckpt.pt", "--ttt", "scalars", *SMALL, "--resume", tmp_path / "state")
    assert done.code == 2
    assert "not the state of an evaluation" in done.err
