"""Stages: configuration is data, both ways, and every mistake in it is named."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from artpack.errors import UnknownStageError, UsageError
from artpack.stages import ConfiguredStage, by_id, stage_from_json, stage_to_json


@dataclass(frozen=True)
class Inner(ConfiguredStage):
    stage_id: ClassVar[str] = "inner"
    level: int = 3


INNERS = by_id((Inner,))


@dataclass(frozen=True)
class Outer(ConfiguredStage):
    stage_id: ClassVar[str] = "outer"
    size: float
    name: str = "x"
    quick: bool = False
    inner: Inner = field(default=Inner(), metadata={"table": INNERS})


OUTERS = by_id((Outer,))


def test_a_stage_comes_back_from_its_json() -> None:
    stage = Outer(1.5, "y", quick=True, inner=Inner(9))
    value = stage_to_json(stage)
    assert value == {
        "id": "outer",
        "size": 1.5,
        "name": "y",
        "quick": True,
        "inner": {"id": "inner", "level": 9},
    }
    assert stage_from_json(OUTERS, value) == stage


def test_defaults_may_be_left_out_and_whole_numbers_are_floats() -> None:
    assert stage_from_json(OUTERS, {"id": "outer", "size": 2}) == Outer(2.0)
    assert stage_from_json(OUTERS, {"id": "outer", "size": 2, "inner": "inner"}) == Outer(2.0)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (5, UsageError, "object with an 'id'"),
        ({"size": 1}, UsageError, "object with an 'id'"),
        ({"id": 5}, UsageError, "object with an 'id'"),
        ("outre", UnknownStageError, "did you mean 'outer'"),
        ("outer", UsageError, "'size' is missing"),
        ({"id": "outer", "sise": 1}, UsageError, "did you mean 'size'"),
        ({"id": "outer", "size": "1"}, UsageError, "size must be float"),
        ({"id": "outer", "size": True}, UsageError, "size must be float"),
        ({"id": "outer", "size": 1, "quick": 1}, UsageError, "quick must be bool"),
        ({"id": "outer", "size": 1, "inner": "iner"}, UnknownStageError, "did you mean 'inner'"),
        ({"id": "outer", "size": 1, "inner": {"id": "inner", "level": 1.5}}, UsageError, "int"),
    ],
)
def test_every_mistake_is_named(value: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        stage_from_json(OUTERS, value)  # type: ignore[arg-type]


def test_two_stages_cannot_share_an_id() -> None:
    with pytest.raises(UsageError, match="taken"):
        by_id((Inner, Inner))
