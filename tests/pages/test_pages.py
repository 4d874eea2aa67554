"""
The pages in a real browser: how they lie on screens, and what they do.

They need Chromium, such as Debian's package. ``make pages`` runs them, and leaves pictures to
look at in ``build/pages``.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from artpack_cli.page.compare import compare_page
from artpack_cli.page.compress import compress_page
from artpack_cli.page.page import html_page
from artpack_cli.page.sweep import sweep_page

import artpack
from artpack.stages import JsonValue
from tests.cli.test_page import PLAIN, PROVENANCE, header
from tests.cli.test_sweep_page import FOUND
from tests.pages.browser import Tab, program, tab

WIDTHS = (400, 1300)
CONTRAST = 4.5
"""The least that WCAG asks of text of this size."""

CHROMIUM = program()
pytestmark = [
    pytest.mark.pages,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: install the package chromium"),
]


def weights() -> dict[str, torch.Tensor]:
    """Draw weights of several roles."""
    generator = torch.Generator().manual_seed(5)
    shapes = {"attn.q": (64, 64), "mlp.fc": (128, 64), "mlp.proj": (64, 128), "norm": (64,)}
    return {
        f"layers.{layer}.{name}.weight": torch.randn(shape, generator=generator)
        for layer in range(4)
        for name, shape in shapes.items()
    }


def inspect() -> str:
    """Write the page of an artifact that says much of where it comes from."""
    deep: JsonValue = {"one": {"in": {"another": {"in": {"the_third": {"norm": "rmsnorm"}}}}}}
    reports: JsonValue = [[-3000, -1921, None, -301, 3, 1301]] * 5
    much = {"deep": deep, "reports": reports, "ids": list[JsonValue](range(99))}
    return str(html_page("a.bin", PLAIN, header({**PROVENANCE, **much})))


def compress() -> str:
    """Write the page of a file whose losses are made up."""
    made = artpack.compress(weights(), recipe="frontier", budget=60_000, profile="fast")
    losses = {role.name: 1e-9 * role.weights for role in made.description.roles[:3]}
    result = replace(made.result, loss=sum(losses.values()), role_losses=losses)
    return str(compress_page("model.artpack", replace(made, result=result)))


def compare(folder: Path) -> str:
    """Write the page of a checkpoint and an artifact."""
    torch.save(weights(), folder / "model.pt")
    artpack.save(weights(), folder / "model.artpack", recipe="int6", profile="fast")
    return str(compare_page(artpack.compare([folder / "model.pt", folder / "model.artpack"])))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    sources = {
        "inspect": inspect(),
        "compare": compare(folder),
        "sweep": sweep_page("model.safetensors", FOUND),
        "compress": compress(),
    }
    for name, source in sources.items():
        (folder / f"{name}.html").write_text(source)
    return {name: folder / f"{name}.html" for name in sources}


@pytest.fixture(scope="module")
def browser() -> Iterator[Tab]:
    """Start a browser once."""
    assert CHROMIUM is not None
    with tab(CHROMIUM) as started:
        yield started


kinds = pytest.mark.parametrize("kind", ["inspect", "compare", "sweep", "compress"])


@kinds
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_fits_its_window_can_be_read_and_nothing_complains(
    browser: Tab, pages: dict[str, Path], kind: str, width: int, *, dark: bool
) -> None:
    browser.open(pages[kind], width=width, dark=dark)
    assert browser.complaints == []
    assert browser.value("document.documentElement.scrollWidth") == width
    assert browser.value(LEAST_CONTRAST) >= CONTRAST
    assert browser.value(SMALLEST_TEXT) >= 9
    picture = browser.picture()
    assert picture.startswith(b"\x89PNG")
    folder = os.environ.get("PAGES_FOLDER")
    if folder is not None:
        name = f"{kind}-{width}-{'dark' if dark else 'light'}.png"
        (Path(folder) / name).write_bytes(picture)


@kinds
def test_everything_that_can_be_used_is_reached_by_the_keyboard(
    browser: Tab, pages: dict[str, Path], kind: str
) -> None:
    browser.open(pages[kind], width=400)
    wanted = browser.value("document.querySelectorAll('button, input, [tabindex=\"0\"]').length")
    reached = set()
    for _ in range(2 * wanted):
        browser.press("Tab")
        assert browser.value(OUTLINED), browser.value("document.activeElement.outerHTML")
        reached.add(browser.value(ACTIVE))
        if len(reached) == wanted:
            return
    pytest.fail(f"{len(reached)} of {wanted} reached")


@kinds
def test_the_table_is_sorted_by_its_buttons_and_put_back(
    browser: Tab, pages: dict[str, Path], kind: str
) -> None:
    browser.open(pages[kind], width=1300)
    stored = browser.value(BYTES)
    assert len(stored) > 3
    browser.value(f"{BUTTON}.focus()")
    seen = []
    for _ in range(3):
        browser.press("Enter")
        seen.append((browser.value(f"{BUTTON}.parentElement.ariaSort"), browser.value(BYTES)))
    assert seen == [
        ("descending", sorted(stored, reverse=True)),
        ("ascending", sorted(stored)),
        (None, stored),
    ]
    assert browser.complaints == []


@kinds
def test_the_filter_leaves_the_rows_whose_name_has_it(
    browser: Tab, pages: dict[str, Path], kind: str
) -> None:
    browser.open(pages[kind], width=1300)
    names = browser.value(NAMES)
    wanted = names[0][1:-1]
    browser.value("document.querySelector('.filter input').focus()")
    browser.write(wanted.upper())
    left = [name for name in names if wanted.lower() in name.lower()]
    assert browser.value(NAMES) == left
    said = browser.value("document.querySelector('.filter output').textContent")
    assert said.startswith(f"{len(left)} of {len(names)}")


ACTIVE = "[...document.querySelectorAll('*')].indexOf(document.activeElement)"
OUTLINED = "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
ROWS = "[...document.querySelectorAll('table.tensors tbody tr')].filter((row) => !row.hidden)"
NAMES = f"{ROWS}.map((row) => row.cells[0].textContent)"
BUTTON = "document.querySelector('table.tensors th[data-column$=\"bytes\"] button')"
BYTES = (
    f"{ROWS}.map((row) => Number(row.cells[{BUTTON}.parentElement.cellIndex]"
    ".textContent.replaceAll(',', '')))"
)

LEAST_CONTRAST = """
(() => {
  const light = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const linear = parts.map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const against = (ink) => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  const said = [...document.querySelectorAll("h1, h2, p, dt, dd, th, td, button, label")];
  return Math.min(...said.map((one) => against(light(getComputedStyle(one).color))));
})()
"""
"""Of all words outside drawings, against the page."""

SMALLEST_TEXT = """
(() => {
  const sizes = [...document.querySelectorAll("h1, h2, p, dt, dd, th, td, button, label, svg text")]
    .filter((one) => one.textContent.trim())
    .map((one) => {
      const size = parseFloat(getComputedStyle(one).fontSize);
      const svg = one.closest("svg");
      return svg ? size * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : size;
    });
  return Math.min(...sizes);
})()
"""
"""In pixels, as it is drawn."""
