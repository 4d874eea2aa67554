import json
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from artpack.errors import UnknownStageError, UsageError
from artpack.models.simulate import GRIDS, FakeRowInt, Grid
from artpack.stages import Record, check_range


@dataclass(frozen=True)
class Inner(Record):
    width: int

    def __post_init__(self) -> None:
        check_range(self, "width", 1, 8)


@dataclass(frozen=True)
class Outer(Record):
    share: float
    on: bool
    word: Literal["north", "south"]
    inner: Inner | None = None
    layers: tuple[int, ...] = ()
    inners: tuple[Inner, ...] = ()
    grid: Grid = field(default_factory=lambda: FakeRowInt(4), metadata={"table": GRIDS})


WHOLE = Outer(0.5, on=True, word="south", inner=Inner(3), layers=(1, 2), inners=(Inner(1),))
PLAIN: dict[str, Any] = {"share": 0.5, "on": True, "word": "north"}


@pytest.mark.parametrize("record", [WHOLE, Outer(1.0, on=False, word="north")])
def test_a_record_survives_json(record: Outer) -> None:
    assert Outer.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_an_integer_serves_as_a_float() -> None:
    assert Outer.from_json({**PLAIN, "share": 1}) == Outer(1.0, on=True, word="north")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shore": 1.0}, r"model: unknown field 'shore' \(did you mean 'share'\?\)"),
        ({"share": "x"}, r"model\.share must be float, got 'x'"),
        ({"share": True}, r"model\.share must be float, got True"),
        ({"on": 1}, r"model\.on must be bool, got 1"),
        ({"word": "nord"}, r"model\.word: unknown choice 'nord' \(did you mean 'north'\?\)"),
        ({"word": 3}, r"model\.word: unknown choice 3 \(north, south\)"),
        ({"inner": {"width": 9}}, r"model\.inner: width must be in 1\.\.8, got 9"),
        ({"inner": {}}, r"model\.inner: field 'width' is missing"),
        ({"inner": 4}, r"model\.inner must be an object, got 4"),
        ({"layers": 4}, r"model\.layers must be a list, got 4"),
        ({"layers": [1, "2"]}, r"model\.layers\[1\] must be int, got '2'"),
        ({"inners": [{"width": 0}]}, r"model\.inners\[0\]: width must be in 1\.\.8, got 0"),
    ],
)
def test_every_fault_is_named_with_its_path(change: dict[str, Any], message: str) -> None:
    value = json.loads(json.dumps({**PLAIN, **change}))
    with pytest.raises(UsageError, match=message):
        Outer.from_json(value)


def test_an_unknown_stage_is_named() -> None:
    with pytest.raises(UnknownStageError, match="row-int"):
        Outer.from_json({"share": 0.5, "on": True, "word": "north", "grid": "row-imt"})
