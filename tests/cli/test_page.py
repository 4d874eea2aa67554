"""The page of ``artpack inspect --html``, made from a stranger's names."""

import base64
import hashlib
from copy import deepcopy
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from artpack_cli.page.page import html_page
from artpack_cli.render.markup import escape
from artpack_cli.render.words import CODECS as CODECS_IN_WORDS
from artpack_cli.render.words import CODERS
from artpack_cli.render.words import LAYOUTS as LAYOUTS_IN_WORDS

from artpack.artifact.describe import Description, TensorRow
from artpack.artifact.header import Header
from artpack.artifact.plan import Plan
from artpack.checkpoint import Bank, Tie
from artpack.coding.codecs import CODECS
from artpack.coding.layouts import LAYOUTS
from artpack.coding.symbol_coders import SYMBOL_CODERS
from artpack.stages import JsonValue

VOID = {"meta", "input", "rect", "path"}
LABELS = {"text", "tspan"}
BYTES_COLUMN = 5
MAP_AREA = 1200 * 560

HOSTILE = (
    "<script>alert(document.domain)</script>",
    "</title></svg></table><script>alert()</script>",
    "</script><img src=x onerror=alert()>",
    "</style><style>*{display:none}",
    '" onload="alert()" x=\'',
    "' onclick='alert()' x=\"",
    "<!-- --!> --> ]]> <![CDATA[ <?php",
    "&lt;b&gt; &#60;b&#62; &amp",
    "javascript:alert()",
    "$script $policy ${title} %s {0}",
    "line\r\nbreak\ttab\x00nul",
    "\u202egnp.exe\u2066",
    "lone \udc80 surrogate",
    ".....",
    "",
)
hostile = pytest.mark.parametrize("name", HOSTILE, ids=ascii)


class Page(HTMLParser):
    """What a parser makes of a page; fails where an element is not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[str]] = []
        self.inside: dict[str, list[str]] = {}
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.inside.setdefault(tag, []).append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.inside[tag][-1] += data
        if ("td" in self.open or "th" in self.open) and "svg" not in self.open:
            self.rows[-1][-1] += data

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


def tensor(name: str, size: int, *, grid: str = "int6", coder: str = "rans") -> TensorRow:
    parts = (("codes", f"rows|{coder}|stored"), ("scales", "columns|bytes|lzma"))
    return TensorRow(name, (4, 8), 32, grid, parts, size, size * 0.9, (1, 0, 2000, 9))


def described(rows: list[TensorRow]) -> Description:
    overhead = {"preamble": 32, "header": 500, "trailer": 16}
    size = sum(row.stored_bytes for row in rows) + sum(overhead.values())
    return Description(size, tuple(rows), overhead)


def header(provenance: dict[str, JsonValue], *, name: str = "a") -> Header:
    ties, banks = (Tie(name, name),), (Bank(name, (name, name)),)
    return Header(Plan((), ()), (), (), (), ties, banks, {name: name}, provenance)


PLAIN = described(
    [
        tensor("blocks.0.fc.weight", 70_000),
        tensor("blocks.1.fc.weight", 60_000),
        tensor("blocks.0.gain", 900, grid="fp16", coder="planes"),
        tensor("blocks.1.gain", 0, grid="fp16"),
        tensor("embedding.weight", 33_333, grid="int8"),
    ]
)
PROVENANCE: dict[str, JsonValue] = {
    "recipe": {"name": "int6", "rules": {"all": {"match": "", "clip": 12.85}}},
    "source_sha256": "ab" * 32,
    "libraries": {"numpy": "2.1"},
    "odd": [None, True, [], {}],
}


def plain_page() -> str:
    page: str = html_page("a.bin", PLAIN, header(PROVENANCE))
    return page


def page_of(name: str) -> str:
    """Return a page with a name in every place that a stranger can write to."""
    rows = [tensor(f"{name}{end}", 5000, grid=name) for end in "xy"]
    facts: dict[str, JsonValue] = {name: {name: name}, "list": [name]}
    page: str = html_page(name, described(rows), header(facts, name=name))
    return page


def numbers(rows: list[list[str]]) -> list[int]:
    return [int(row[BYTES_COLUMN].replace(",", "")) for row in rows]


@hostile
def test_a_hostile_name_changes_no_element_and_no_attribute(name: str) -> None:
    def skeleton(page: Page) -> list[tuple[str, list[str], str]]:
        return [
            (tag, list(attributes), attributes.get("href", attributes.get("id", "")))
            for tag, attributes in page.elements
            if tag not in LABELS
        ]

    odd, plain = Page(page_of(name)), Page(page_of("plain"))
    assert skeleton(odd) == skeleton(plain)
    assert odd.inside["script"] == plain.inside["script"]
    assert odd.inside["style"] == plain.inside["style"]


@hostile
def test_a_hostile_name_is_shown_in_its_row(name: str) -> None:
    printable = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
    shown = [row[0] for row in Page(page_of(name)).rows]
    assert f"{printable}x" in shown
    assert f"{printable}y" in shown


@hostile
def test_any_name_can_be_written_as_utf_8(name: str) -> None:
    page = page_of(name)
    assert page.encode().decode() == page


def test_escaping_leaves_ordinary_text_alone() -> None:
    assert escape("blocks.0.größe 重み [3] $x") == "blocks.0.größe 重み [3] $x"


def test_the_browser_is_told_to_run_and_load_nothing_else() -> None:
    page = Page(plain_page())

    def digest(tag: str) -> str:
        (content,) = page.inside[tag]
        return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()

    (policy,) = [a["content"] for _, a in page.elements if a.get("http-equiv")]
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest('style')}'",
        f"script-src 'sha256-{digest('script')}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_nothing_on_the_page_points_outside_or_needs_what_the_policy_forbids() -> None:
    page = Page(plain_page())
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert not names & {"style", "src", "srcset", "action", "xlink:href"}
    assert not [what for what in ("://", "url(", "@import", "import(") if what in plain_page()]
    assert not {"link", "img", "iframe", "base", "form"} & {tag for tag, _ in page.elements}


def test_ids_are_unique_and_every_reference_has_its_target() -> None:
    page = Page(plain_page())
    ids = page.attributes("id")
    assert len(set(ids)) == len(ids)
    references = [href.removeprefix("#") for href in page.attributes("href")]
    assert references == ["t0", "t1", "t4", "t2"]
    assert {*references, *page.attributes("aria-labelledby")} <= set(ids)


def test_the_bytes_of_the_table_add_up_to_the_file() -> None:
    rows = Page(plain_page()).rows
    first = next(i for i, row in enumerate(rows) if row[0] == "tensor") + 1
    *parts, total = numbers(rows[first:])
    assert len(parts) == len(PLAIN.tensors) + len(PLAIN.overhead)
    assert sum(parts) == total == PLAIN.file_bytes


def test_the_bytes_of_the_legend_add_up_to_the_file() -> None:
    rows = Page(plain_page()).rows
    last = next(i for i, row in enumerate(rows) if row[0] == "overhead")
    sizes = [int(row[2].replace(",", "")) for row in rows[1 : last + 1]]
    assert sizes == [130_000, 33_333, 900, 548]
    assert sum(sizes) == PLAIN.file_bytes


def test_areas_on_the_map_are_proportional_to_bytes() -> None:
    areas = [
        (float(a["width"]), float(a["height"]))
        for tag, a in Page(plain_page()).elements
        if tag == "rect" and "class" not in a
    ]
    sizes = [70_000, 60_000, 33_333, 900, 500, 32, 16]
    assert len(areas) == len(sizes)
    for (width, height), size in zip(areas, sizes, strict=True):
        # Edges are written to a thousandth of a pixel, so each is off by at most half of one.
        rounding = 0.0005 * (width + height + 0.0005)
        assert abs(width * height - MAP_AREA * size / PLAIN.file_bytes) <= rounding


def test_a_histogram_has_a_bar_for_every_symbol_that_occurs() -> None:
    page = Page(plain_page())
    # 1, 0, 2000 and 9 of 2000, at a height of 24 rounded up.
    assert page.attributes("d")[0] == "M0 24V23h1V24h1V0h1V23h1V24z"
    assert "3 of 4 symbols occur, most often 2: 99.5%" in page.attributes("aria-label")


def test_a_tensor_of_no_weights_has_a_row_but_no_area_and_no_histogram() -> None:
    empty = replace(tensor("empty", 0), shape=(0, 8), weights=0, histogram=(0, 0))
    page = Page(html_page("a.bin", described([empty]), header({})))
    assert [row[:3] for row in page.rows if row[0] == "empty"] == [["empty", "0x8", "0"]]
    assert page.attributes("href") == []
    assert "path" not in page.inside


def test_an_artifact_without_tensors_has_a_page() -> None:
    page = Page(html_page("a.bin", described([]), header({})))
    assert page.rows[-1][0] == "total"
    assert page.rows[-1][BYTES_COLUMN] == "548"


def test_provenance_is_shown_down_to_its_leaves() -> None:
    page = Page(plain_page())
    shown = page.inside["code"]
    assert {"int6", '""', "12.85", "ab" * 32, "2.1", "null", "true", "[]", "{}"} <= set(shown)
    assert page.inside["h2"][:3] == ["Map", "Tensors", "Provenance"]


def test_grids_beyond_the_last_colour_share_it() -> None:
    rows = [tensor(f"t{i}", 1000 - i, grid=f"grid{i}") for i in range(12)]
    page = Page(html_page("a.bin", described(rows), header({})))
    colours = [a["class"] for tag, a in page.elements if tag == "tr" and "id" in a]
    assert colours == [f"g{min(i, 7)}" for i in range(12)]


def test_grids_and_coders_are_in_words_and_their_ids_in_a_tooltip() -> None:
    page = Page(html_page("a.bin", described([tensor("a", 9, grid="lattice/64")]), header({})))
    assert ["lattice, 64 states", "rANS; rest: LZMA by columns"] in [row[3:5] for row in page.rows]
    assert "codes: rows|rans|stored\nscales: columns|bytes|lzma" in page.attributes("title")


def test_every_stage_has_words() -> None:
    assert CODERS.keys() == SYMBOL_CODERS.keys()
    assert CODECS_IN_WORDS.keys() == CODECS.keys()
    assert LAYOUTS_IN_WORDS.keys() == LAYOUTS.keys()


def test_the_same_artifact_gives_the_same_page() -> None:
    assert plain_page() == html_page("a.bin", deepcopy(PLAIN), header(deepcopy(PROVENANCE)))
