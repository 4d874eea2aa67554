"""Differences between headers: each has its path, and causes come first."""

from artpack.artifact.differences import causes_first, provenance_differences

THERE = {
    "artpack": "0.2.0",
    "libraries": {"numpy": "2.0", "torch": "2.4"},
    "calibration": {"artpack": "0.2.0", "libraries": {}, "tokens_sha256": "a"},
    "reports": [None, [1, 2], [3, 4]],
    "recipe": {"order": ["a", "b"]},
    "log2_step": -3.5,
    "more": 1,
}


def found(here: dict[str, object]) -> list[tuple[str, str, object, object]]:
    given = {**THERE, **here}
    differences = provenance_differences(THERE, given, ["w", "x", "y"])  # type: ignore[arg-type]
    return [(one.kind, one.where, one.there, one.here) for one in causes_first(differences)]


def test_nothing_differs_from_itself() -> None:
    assert found({}) == []


def test_each_difference_has_its_path_and_its_kind() -> None:
    assert found({"libraries": {"numpy": "2.0", "brotli": "1"}}) == [
        ("library", "libraries.brotli", None, "1"),
        ("library", "libraries.torch", "2.4", None),
    ]
    assert found({"recipe": {"order": ["a", "c"]}}) == [("recipe", "recipe.order.1", "b", "c")]
    assert found({"recipe": {"order": ["a"]}}) == [("recipe", "recipe.order", ["a", "b"], ["a"])]
    assert found({"more": 1.5}) == [("header", "more", 1, 1.5)]
    assert found({"reports": [None, [1, 2], [3, 5]]}) == [("header", "reports.y", [3, 4], [3, 5])]


def test_causes_come_first() -> None:
    libraries = {"transformers": "5.0"}
    calibration = {"artpack": "9", "libraries": libraries, "tokens_sha256": "b"}
    there = found({"log2_step": -3.0, "artpack": "9", "calibration": calibration, "reports": []})
    assert [(kind, where) for kind, where, _, _ in there] == [
        ("input", "calibration.tokens_sha256"),
        ("library", "calibration.artpack"),
        ("library", "calibration.libraries.transformers"),
        ("library", "artpack"),
        ("option", "log2_step"),
        ("header", "reports"),
    ]
