"""Curves become pictures."""

from pathlib import Path

import pytest
from artpack_cli.render.plot import draw_curves

from artpack.errors import UsageError


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_a_picture_is_written(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"curve{ending}"
    curves = {"int6": [(2.0, 0.01), (1.0, 0.1)], "frontier": [(1.0, 0.0)]}
    draw_curves(path, curves, x_label="bytes", y_label="nats", logarithmic=True)
    start = path.read_bytes()[:200]
    assert start.startswith(b"\x89PNG") or b"<?xml" in start


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pictures end in"):
        draw_curves(tmp_path / "curve.gif", {}, x_label="", y_label="")
