"""TOML and JSON that nobody's recipe or config is like."""

from pathlib import Path

import pytest

from artpack.errors import ArtpackError, RecipeError, UsageError
from artpack.evaluation.ttt.load import load_recipe as load_adapting
from artpack.recipes import load_recipe
from artpack.stages.parsing import MAX_DEPTH, MAX_KEY_DOTS, parse_json, parse_toml, parse_value
from artpack.training.recipe import load_training

DEEP = "[" * 5000 + "]" * 5000
LONG = "9" * 5000
NO_VALUES = (DEEP, LONG, "-" + LONG, "0x" + "f" * 5000, "1e999", "nan", "-inf", str(1 << 64))


@pytest.mark.parametrize("value", NO_VALUES)
def test_values_out_of_range_are_refused_wherever_one_is_typed(value: str) -> None:
    for parse in (lambda: parse_toml(f"a = {value}"), lambda: parse_value(value)):
        with pytest.raises(UsageError, match="not valid TOML: ") as caught:
            parse()
        assert len(str(caught.value)) < 200
    changes = {
        load_recipe: ("int6", f"matrices.quantizer.bits={value}"),
        load_adapting: ("scalars", f"rule.lr={value}"),
        load_training: ("plain", f"batches.tokens={value}"),
    }
    for load, (recipe, change) in changes.items():
        with pytest.raises(RecipeError, match="not valid TOML: "):
            load(recipe, [change])  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    [
        *(f"about = {value}" for value in NO_VALUES),
        "a = {" * 3000,
        ".".join("a" * 10_000) + " = 1",
        "[" + ".".join(['"!"'] * 10_000) + "]",
        "a = 2020-01-01",
        "#" * (1 << 19),
        "a = 'unfinished",
    ],
)
def test_files_of_such_values_are_refused_in_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    for load in (load_recipe, load_adapting, load_training):
        with pytest.raises(RecipeError, match="not valid TOML: ") as caught:
            load(str(path))
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400


def test_a_change_of_a_field_deep_down_is_refused() -> None:
    for load, name in ((load_recipe, "int6"), (load_adapting, "scalars"), (load_training, "plain")):
        with pytest.raises(ArtpackError):
            load(name, [".".join(["a"] * 5000) + "=1"])


def test_what_lies_within_the_limits_is_read() -> None:
    deep = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    key = ".".join(["a"] * (MAX_DEPTH - 1))
    assert parse_toml(f"a = {deep}\nb = {(1 << 64) - 1}") == {
        "a": parse_json(deep),
        "b": (1 << 64) - 1,
    }
    assert parse_toml(f"{key} = 1.5")
    assert parse_toml('a = "' + "." * 2 * MAX_KEY_DOTS + '"') == {"a": "." * 2 * MAX_KEY_DOTS}
    assert parse_value(" plain text ") == "plain text"
    assert parse_value("[1, 'a']") == [1, "a"]


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        DEEP,
        LONG,
        f"[{LONG}]",
        str(1 << 64),
        "NaN",
        "-Infinity",
        "1e999",
        b"\xff\xff\xff",
        b"",
        b"{",
    ],
)
def test_json_out_of_range_is_refused(text: str | bytes) -> None:
    with pytest.raises(UsageError, match=r"^not valid JSON: ") as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)


def test_json_is_read_in_every_encoding_that_it_may_have() -> None:
    for encoding in ("utf-8", "utf-16", "utf-32"):
        assert parse_json('{"é": [1, 2.5, null, true]}'.encode(encoding)) == {
            "é": [1, 2.5, None, True]
        }
