"""``artpack compare`` and its page."""

import json
from pathlib import Path

import torch

import artpack
from tests.cli.conftest import Run
from tests.cli.test_page import Page

HOSTILE = "<script>alert()</script>\x1b[31m"


def write(folder: Path) -> None:
    weights = {f"layers.{i}.fc.weight": torch.randn(32, 32) for i in range(2)}
    torch.save({**weights, HOSTILE: torch.ones(4)}, folder / "a.pt")
    artpack.save(weights, folder / "b.artpack", recipe="int8")


def test_a_table_of_roles_or_tensors(run: Run, tmp_path: Path) -> None:
    write(tmp_path)
    roles, tensors = (
        run("compare", "a.pt", "b.artpack"),
        run("compare", "a.pt", "b.artpack", "--tensors"),
    )
    assert "layers.#.fc.weight" in roles.stdout
    assert "layers.1.fc.weight" in tensors.stdout
    assert "\x1b" not in roles.stdout + tensors.stdout
    total = next(line for line in roles.stdout.splitlines() if line.startswith("total"))
    assert f"{(tmp_path / 'b.artpack').stat().st_size:,}" in total
    found = json.loads(run("compare", "a.pt", "b.artpack", "--json").stdout)
    assert [one["name"] for one in found["files"]] == ["a.pt", "b.artpack"]
    assert found["roles"][0]["bits_per_weight"][0] == 32


def test_one_file_alone_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    write(tmp_path)
    alone = run("compare", "a.pt")
    assert alone.returncode == 2
    assert "two files are compared, or one and a --reference" in alone.stderr


def test_the_page_is_sound_and_its_bytes_add_up(run: Run, tmp_path: Path) -> None:
    write(tmp_path)
    run("compare", "a.pt", "b.artpack", "--html", "c.html")
    page = Page((tmp_path / "c.html").read_text())
    assert "alert()" not in "".join(page.inside["script"])
    assert not [
        name for _, a in page.elements for name in a if name.startswith("on") or name == "style"
    ]
    heads = next(row for row in page.rows if row and row[0] == "tensor")
    column = heads.index("B bytes")
    start = page.rows.index(heads) + 1
    *parts, total = (int(row[column].replace(",", "") or 0) for row in page.rows[start:])
    assert sum(parts) == total == (tmp_path / "b.artpack").stat().st_size
    assert len([tag for tag, a in page.elements if "data-sum" in a]) == 4
