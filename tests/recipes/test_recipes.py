"""Recipes: those of the package load, and every mistake in one is named."""

from pathlib import Path

import pytest

from artpack.errors import RecipeError
from artpack.quantize import Fp8, Fp16, RowInt
from artpack.quantize.rounding.clips import StdClip
from artpack.recipes import load_recipe, recipe_names
from artpack.recipes.rules import Rule

NAMES = {"int4", "int5", "int6", "int8", "lossless", "quinary", "ternary"}


def test_the_package_has_these_recipes() -> None:
    assert set(recipe_names()) >= NAMES


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_of_the_package_loads_and_takes_every_tensor(name: str) -> None:
    spec = load_recipe(name)
    assert spec.name == name
    assert spec.about
    for shape in ((), (5,), (3, 4), (2, 3, 4)):
        assert spec.rule_for("any", shape) is not None


def test_int6_is_what_the_issue_asked_for() -> None:
    spec = load_recipe("int6")
    matrix, vector = spec.rule_for("tok_emb.weight", (40, 10)), spec.rule_for("norm", (10,))
    assert matrix is not None
    assert vector is not None
    assert matrix.quantizer == RowInt(bits=6, clip=StdClip(12.85))
    assert vector.quantizer == Fp16()


def test_a_table_of_vectors_is_no_matrix() -> None:
    """resid_mix is two rows about 1: a clip at some standard deviations would destroy it."""
    rule = load_recipe("int6").rule_for("blocks.0.resid_mix", (2, 512))
    assert rule is not None
    assert rule.quantizer == Fp16()


def test_overrides_change_numbers_and_whole_stages() -> None:
    spec = load_recipe("int6", ["matrices.quantizer.bits=4", "vectors.quantizer=fp8"])
    assert spec.rules[0].quantizer == RowInt(bits=4, clip=StdClip(12.85))
    assert spec.rules[1].quantizer == Fp8()


def test_an_override_can_reach_into_a_stage_named_alone() -> None:
    spec = load_recipe("int5", ["matrices.quantizer.clip.id=std", "matrices.quantizer.clip.k=9"])
    assert spec.rules[0].quantizer == RowInt(bits=5, clip=StdClip(9.0))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("matrices.quantizer.bits", "KEY=VALUE"),
        ("matrices\n.min_rows=1", "KEY=VALUE"),
        ("matrices=5", "RULE.FIELD"),
        ("matrixes.quantizer.bits=5", "did you mean 'matrices'"),
        ("matrices.quantizer.bit=5", "did you mean 'bits'"),
        ("matrices.quantizer.bits=5.5", "must be int"),
        ("matrices.quantizer.bits=99", "99"),
        ("matrices.quantizer.id=row-imt", "did you mean 'row-int'"),
        ("matrices.min_dims.x=1", "no fields"),
        ("matrices.min_dims=two", "must be int"),
        ("matrices.matches=x", "did you mean 'match'"),
        ("matrices.match=(", "match"),
    ],
)
def test_every_wrong_override_is_named(override: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe("int6", [override])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules = ", "not valid TOML"),
        ("about = 'x'", "no table"),
        ("[rules]", "no table"),
        ("ruels = 1", "did you mean 'rules'"),
        ("about = 1\n[rules.a]\nquantizer = 'fp16'", "about must be str"),
        ("[rules.a]\nmatch = 'x'", "'quantizer' is missing"),
        ("[rules]\na = 1", "must be an object"),
        ("[rules.a]\nquantizer = 5", "object with an 'id'"),
        ("[rules.a]\nquantizer = 'row-int'", "missing"),
    ],
)
def test_every_mistake_in_a_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=words) as caught:
        load_recipe(str(path))
    assert "mine.toml" in str(caught.value)


def test_the_frontier_does_not_prune() -> None:
    with pytest.raises(RecipeError, match="watersic cannot prune"):
        load_recipe("frontier", ["matrices.prune=0.1"])


def test_unknown_names_and_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'quinary'"):
        load_recipe("quinry")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(str(tmp_path / "none.toml"))
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(str(tmp_path / "latin.toml"))


def test_the_json_of_a_recipe_rebuilds_it() -> None:
    for name in recipe_names():
        for rule in load_recipe(name).rules:
            assert Rule.from_json(rule.to_json(), name=rule.name) == rule


@pytest.mark.parametrize(
    ("name", "shape", "rule"),
    [
        ("blocks.0.mlp.fc.weight", (256, 256), "rest"),  # 65,536 weights are few
        ("blocks.0.mlp.fc.weight", (257, 256), "blocks"),
        ("bigram.proj.weight", (300, 300), "blocks"),
        ("ve_shared.proj.weight", (300, 300), "blocks"),
        ("tok_emb.weight", (300, 300), "tables"),
        ("lm_head.weight", (300, 300), "tables"),
        ("bigram.embed.weight", (300, 300), "tables"),
        ("skip_weights", (300, 300), "control_matrices"),
        ("blocks.0.dtg_gate.weight", (1, 70_000), "control_matrices"),
        ("blocks.0.attn_scale", (70_000,), "control"),
        ("blocks.0.attn_scale", (512,), "rest"),
        ("blocks.0.mlp.bias", (70_000,), "block_vectors"),
        ("other", (70_000,), "vectors"),
    ],
)
def test_pr576_tells_tensors_apart_as_published(
    name: str, shape: tuple[int, ...], rule: str
) -> None:
    found = load_recipe("pr576").rule_for(name, shape)
    assert found is not None
    assert found.name == rule


def test_pr1123_tells_tensors_apart_by_their_module_and_not_their_size() -> None:
    spec = load_recipe("pr1123")
    grids = {
        "blocks.0.attn.c_q.weight": "asym-int6",
        "blocks.0.attn.c_k.weight": "asym-int6",
        "blocks.0.attn.c_v.weight": "asym-int5",
        "blocks.0.attn.proj.weight": "asym-int5",
        "blocks.0.mlp.up.weight": "pentanary",
        "blocks.0.mlp.down.weight": "asym-int4",
        "lm_head.weight": "asym-int8",
        "tok_emb.weight": "fp16",
        "bigram.proj.weight": "fp16",
        "ve_shared.proj.weight": "fp16",
    }
    for shape in ((4, 4), (4096, 4096)):
        for name, label in grids.items():
            found = spec.rule_for(name, shape)
            assert found is not None
            assert found.quantizer is not None
            assert found.quantizer.label == label


def test_the_settings_of_pr576_are_keys_of_its_recipe() -> None:
    changed = load_recipe("pr576", ["control.match=tok_emb", "blocks.prune=0", "tables.prune=0.1"])
    rules = {rule.name: rule for rule in changed.rules}
    assert (rules["blocks"].prune, rules["tables"].prune) == (0, 0.1)
    found = changed.rule_for("tok_emb.weight", (300, 300))
    assert found is not None
    assert found.name == "control"
