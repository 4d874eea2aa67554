"""Recipe files: one way to find, read and change them, whatever they are for."""

from pathlib import Path

import pytest

from artpack.errors import RecipeError, UsageError
from artpack.evaluation.ttt.load import load_recipe as load_adapting
from artpack.quantize.rounding.gptq import Gptq
from artpack.recipes import load_recipe
from artpack.recipes.loader import RecipeFolder, merged, overridden
from artpack.training.recipe import load_training

DATA = {"clip": "std", "rates": [1, 2], "rule": {"kind": "sgd", "lr": 1.0}, "off": None}


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("new=text", "new", "text"),
        ("clip.k=9", "clip", {"id": "std", "k": 9}),
        ("rates.1=3", "rates", [1, 3]),
        ("rates=[]", "rates", []),
        ("rule.lr=0.5", "rule", {"kind": "sgd", "lr": 0.5}),
        ("rule={lr=0.5}", "rule", {"lr": 0.5}),
        ("off.deep.er=true", "off", {"deep": {"er": True}}),
        ("off=a=b", "off", "a=b"),
        (" clip = [1] ", "clip", [1]),
    ],
)
def test_an_override_changes_one_value(override: str, key: str, value: object) -> None:
    assert overridden(DATA, [override]) == {**DATA, key: value}  # type: ignore[arg-type]


def test_tables_are_merged_where_that_is_asked_for() -> None:
    changed = overridden(DATA, ["rule={lr=0.5}", "rates={a=1}"], merge=True)  # type: ignore[arg-type]
    assert changed == {**DATA, "rule": {"kind": "sgd", "lr": 0.5}, "rates": {"a": 1}}
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}, "d": 4}) == {
        "a": {"b": 1, "c": 3},
        "d": 4,
    }
    assert DATA["rule"] == {"kind": "sgd", "lr": 1.0}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rule.lr", "write it as KEY=VALUE"),
        ("rule\n.lr=1", "write it as KEY=VALUE"),
        ("=1", "write it as KEY=VALUE"),
        ("rates.2=1", r"no '2' there \(known: 0, 1\)"),
        ("rates.x.y=1", "no 'x' there"),
        ("rates.0.y=1", "'0' has no fields"),
        (f"rates.{'9' * 5000}=1", "no '9"),
        (".".join("a" * 40) + "=1", "no recipe is so deep"),
    ],
)
def test_an_override_that_leads_nowhere_is_named(override: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        overridden(DATA, [override])  # type: ignore[arg-type]


def test_none_turns_off_what_may_be_off_and_is_a_word_elsewhere() -> None:
    assert load_training("pr1123", ["qat=none"]).qat is None
    assert load_adapting("pr576", ["temperature=none"]).recipe.temperature is None
    rule = load_recipe("int6", ["matrices.rounding=gptq", "matrices.rounding.order=none"]).rules[0]
    assert rule.rounding == Gptq(order="none")
    with pytest.raises(RecipeError, match="min_dims must be int, got 'none'"):
        load_recipe("int6", ["matrices.min_dims=none"])


def test_lists_have_numbers_in_every_kind_of_recipe() -> None:
    assert load_training("plain", ["groups.0.lr=0.5"]).groups[0].lr == 0.5
    assert load_adapting("pr826", ["sites.0=head"]).to_json()["sites"][0] == "head"  # type: ignore[index]
    spec = load_recipe("int6", ["search.damping=[0.1, 0.2]", "search.damping.0=0.3"])
    assert spec.search.damping == (0.3, 0.2)


def test_faults_are_named_with_the_path_of_the_field(tmp_path: Path) -> None:
    for override, path in (
        ("matrices.quantizer.bits=9", r"int6: rules\.matrices\.quantizer: row-int: bits must be"),
        ("matrices.quantizer.clip.k=x", r"int6: rules\.matrices\.quantizer\.clip\.k must be float"),
        ("search.block=[1, 0.5]", r"int6: search\.block\[1\] must be int"),
    ):
        with pytest.raises(RecipeError, match=path):
            load_recipe("int6", [override])
    with pytest.raises(RecipeError, match=r"training recipe .*cannot be read"):
        RecipeFolder("training/recipes", "training recipe").read(str(tmp_path / "none.toml"))
