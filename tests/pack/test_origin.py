"""What a file says of how it came about: small, exact, and checked when it is read."""

import math

import pytest

from artpack.errors import RecipeError, UsageError
from artpack.pack.origin import Options, Outcome, rounded
from artpack.recipes import load_recipe, recipe_names, recipe_of
from artpack.stages import Config, JsonValue


def test_defaults_take_no_bytes() -> None:
    assert Options().to_json() == {}
    assert Outcome().to_json(["a"]) == {}
    asked = Options(profile="max", portable=False, files=("a", "b"), deadline_s=1.5)
    assert asked.to_json() == {
        "files": ["a", "b"],
        "profile": "max",
        "portable": False,
        "deadline_s": 1.5,
    }
    assert Options.from_json(asked.to_json()) == asked


@pytest.mark.parametrize("cost", [1e-9, 3e-4, 1.0, 7e11])
def test_rounded_sensitivities_come_back_exactly(cost: float) -> None:
    costs = rounded({"b": cost})
    assert costs is not None
    assert abs(math.log2(costs["b"] / cost)) <= 1 / 32
    assert rounded(costs) == costs
    found = Outcome(-11.125, costs)
    assert Outcome.from_json(found.to_json(["a", "b"]), ["a", "b"]) == found


def test_nothing_measured_is_nothing_rounded() -> None:
    assert rounded(None) is None
    assert Outcome.from_json({}, ["a"]) == Outcome()


WRONG: list[Config] = [
    {"log2_step": "1"},
    {"log2_step": 3},
    {"log2_step": math.nan},
    {"log2_step": 1e300},
    {"sensitivities": [1]},
    {"sensitivities": {"a": 1}},
    {"sensitivities": [1.5, None]},
    {"sensitivities": [True, None]},
    {"sensitivities": [1 << 40, None]},
]


@pytest.mark.parametrize("stated", WRONG)
def test_what_a_stranger_wrote_is_refused(stated: Config) -> None:
    with pytest.raises(UsageError, match="provenance: "):
        Outcome.from_json(stated, ["a", "b"])


@pytest.mark.parametrize("name", recipe_names())
def test_a_stated_recipe_is_read_whatever_the_order_of_its_maps(name: str) -> None:
    spec = load_recipe(name)
    stated = spec.to_json()
    assert isinstance(stated["rules"], dict)
    stated["rules"] = dict(sorted(stated["rules"].items()))
    assert recipe_of(stated).to_json() == spec.to_json()
    assert recipe_of(stated).rules == spec.rules


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", None), ("rules", []), ("order", None), ("order", ["rest"]), ("order", ["rest", 1])],
)
def test_a_recipe_that_is_none_is_refused(key: str, value: JsonValue) -> None:
    with pytest.raises(RecipeError):
        recipe_of({**load_recipe("frontier").to_json(), key: value})
