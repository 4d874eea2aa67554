"""The page of ``artpack sweep --html``."""

import re

from artpack_cli.page.curve import curve
from artpack_cli.page.sweep import sweep_page

from artpack.api.sweep import Curve, CurvePoint
from tests.cli.test_page import Page

HOSTILE = "<script>alert()</script>\x1b"


def point(recipe: str, budget: int | None, size: int, loss: float) -> CurvePoint:
    return CurvePoint(recipe, budget, size, loss, None, None, None, None, 1.5)


FOUND = Curve(
    (
        point("frontier", 2_000_000, 1_999_000, 0.02),
        point("frontier", 3_000_000, 2_999_000, 0.01),
        point("int8", None, 4_000_000, 0.001),
        point("lossless", None, 9_000_000, 0.0),
        point(HOSTILE, None, 5_000_000, 0.5),
    ),
    ("a note",),
)


def test_every_file_has_a_row_and_those_with_a_loss_a_dot() -> None:
    page = Page(sweep_page("a.pt", FOUND))
    rows = [row for row in page.rows if len(row) == 5][1:]
    assert [row[1] for row in rows] == [
        f"{size:,}" for size in sorted(p.bytes for p in FOUND.points)
    ]
    assert [row[3] for row in rows if row[0] == "frontier"] == ["0.0000100", ""]
    assert len([tag for tag, _ in page.elements if tag == "circle"]) == 4
    assert "alert()" not in "".join(page.inside["script"])
    assert "a note" in page.inside["li"]


def test_dots_lie_where_their_numbers_are() -> None:
    drawn = curve({"a": [(10, 0.1, "x"), (20, 0.01, "y"), (30, 0.001, "z")]}, {"a": "g0"}, "")
    dots = [tuple(map(float, one)) for one in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    (x, y), (x2, y2), (x3, y3) = dots
    assert (x3 - x2, y3 - y2) == (x2 - x, y2 - y)
    assert x < x2
    assert y < y2


def test_a_sweep_without_files_has_a_page_without_a_curve() -> None:
    page = Page(sweep_page("a.pt", Curve((), ())))
    assert "circle" not in page.inside
    assert curve({}, {}, "") == ""


def test_the_scale_fits_what_is_drawn() -> None:
    for low, high, ticks in (
        (0.011, 0.012, [0.01, 0.015]),
        (0.02, 0.02, [0.02, 0.03]),
        (0.04, 0.3, [0.02, 0.05, 0.1, 0.2, 0.5]),
        (0.0002, 0.3, [0.0001, 0.001, 0.01, 0.1, 1]),
    ):
        drawn = curve({"a": [(10, low, ""), (20, high, "")]}, {"a": "g0"}, "")
        labels = re.findall(r'<text text-anchor="end" x="82.0"[^>]*>([^<]+)<', drawn)
        assert list(map(float, labels)) == ticks
