"""The README, the pictures and what fills the site's pages."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import artpack
from benchmarks import how_it_works, llm_picture, site_hooks
from benchmarks.chart import Axis, Chart, Series, bars
from benchmarks.report import Row

ROOT = Path(__file__).parents[2]
MOST_LINES = 150


def row(method: str, setting: str, size: int, loss: float, share: str = "") -> Row:
    numbers = {"bytes": size, "kl_nats": loss, "kl_stderr": 0.001, "bpb_increase": 0.01}
    return {"method": method, "setting": setting, **numbers, "artpack_share": share}


ROWS = [
    row("artpack", "45 MB", 45_000_000, 0.16, "1.0"),
    row("artpack", "60 MB", 60_000_000, 0.04, "1.0"),
    row("llama.cpp, zstd", "Q4_0, a note", 85_000_000, 0.15, "0.53"),
]


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= MOST_LINES
    for link in re.findall(r"\]\(([^)]+)\)", readme):
        assert (ROOT / link).is_file(), link


def test_the_picture_has_every_row_inside_its_axes() -> None:
    drawing = ET.fromstring(llm_picture.picture(ROWS))  # noqa: S314 - our own
    dots = [one for one in drawing.iter() if one.tag.endswith("circle")]
    places = [(float(one.attrib["cx"]), float(one.attrib["cy"])) for one in dots]
    assert len(places) == len(ROWS)
    assert sorted(places) == places
    assert all(0 < x < 760 and 0 < y < 440 for x, y in places)
    words = {one.text for one in drawing.iter() if one.tag.endswith("text")}
    assert {"artpack", "llama.cpp, zstd", "Q4_0"} <= words


def test_the_table_takes_its_place() -> None:
    page = f"a\n{llm_picture.START}\nold\n{llm_picture.END}\nb"
    found = llm_picture.with_table(page, ROWS).splitlines()
    assert found[0] == "a"
    assert found[-1] == "b"
    assert found[4] == "| **artpack, 45 MB** | 45,000,000 | +0.0100 | 0.1600 ± 0.0010 |  |"
    assert found[6].endswith("| 0.53 of the bytes |")
    assert "old" not in found


def test_zstd_stands_for_what_it_makes_smaller(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('method,setting\nartpack,1\ngguf,a\ngguf,b\n"gguf, zstd",a\n')
    found = [(one["method"], one["setting"]) for one in llm_picture.read(path)]
    assert found == [("artpack", "1"), ("gguf", "b"), ("gguf, zstd", "a")]


def test_the_plots_that_explain_are_those_in_the_repository() -> None:
    for name, svg in how_it_works.pictures():
        numbers = re.compile(r"[\d.]+")
        kept = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text()
        # Libraries may round the last digit otherwise.
        assert numbers.sub("", kept) == numbers.sub("", svg)


def test_labels_do_not_lie_on_each_other() -> None:
    axis = Axis("", (0, 10))
    chart = Chart("", axis, axis, [Series("", [(5, 5), (5.05, 5)], ["first", "second"])])
    found = re.findall(r'x="([\d.]+)" y="([\d.]+)"[^>]*>(?:first|second)', chart.svg())
    assert len(set(found)) == 2


def test_bars_are_as_long_as_their_values() -> None:
    widths = re.findall(
        r' width="([\d.]+)" height="[\d.]+" rx="3"', bars("", "", [("a", 1), ("b", 2)])
    )
    assert float(widths[1]) == pytest.approx(2 * float(widths[0]), abs=0.2)


def fill(markdown: str, uri: str = "A.md") -> str:
    page: Any = SimpleNamespace(file=SimpleNamespace(src_uri=uri))
    return site_hooks.on_page_markdown(markdown, page=page, config=None, files=None)


def test_pages_are_filled_in() -> None:
    assert fill("see docs/LOG.md, [this](docs/LOG.md), `docs/LOG.md`") == (
        "see [LOG.md](LOG.md), [this](docs/LOG.md), `docs/LOG.md`"
    )
    table = fill("<!-- results: llm-amd-epyc | method bytes -->").splitlines()
    assert table[:2] == ["| method | bytes |", "| --- | --- |"]
    assert table[2].startswith("| artpack | ")
    commands = fill("<!-- commands -->")
    assert ":prog_name: artpack import" in commands
    exports = fill((ROOT / "docs" / "API.md").read_text(), "API.md")
    missing = {name for name in artpack.__all__ if f"::: artpack.{name}\n" not in exports}
    assert {name for name in missing if not name.endswith("Error")} == {"__version__"}
    assert fill("", "index.md").startswith("# artpack\n")
    assert "](docs/" not in fill("", "index.md")
