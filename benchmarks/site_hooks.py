"""What the site's pages are made of besides their text: results, commands, links, the README."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artpack_cli.main import COMMANDS

import artpack

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MACHINE = ("cpu", "cores", "python", "artpack", "libraries")
"""Columns that all results have, the same in every row."""

_RESULTS = re.compile(r"<!-- results: (?P<name>[\w-]+)(?: \| (?P<columns>[\w ]+))? -->")
_PAGE = re.compile(r"(?<!\]\()(?<![\w/\[`])docs/(?P<page>[A-Z_]+\.md)")
_COMMANDS = "<!-- commands -->"
_EXPORTS = "<!-- other exports -->"


def on_page_markdown(markdown: str, *, page: Any, **_others: Any) -> str:
    """
    Fill a page in; called by mkdocs.

    Args:
        markdown: Its text.
        page: Of mkdocs.

    Returns:
        The text with results as tables, commands described, and pages linked.

    """
    if page.file.src_uri == "index.md":
        markdown = (ROOT / "README.md").read_text().replace("](docs/", "](")
        return markdown.replace("[Contributing](CONTRIBUTING.md)", "Contributing")
    markdown = _RESULTS.sub(_results, markdown)
    markdown = markdown.replace(_COMMANDS, "\n\n".join(map(_command, COMMANDS)))
    markdown = markdown.replace(_EXPORTS, _others_of(markdown))
    return _PAGE.sub(r"[\g<page>](\g<page>)", markdown)


def _others_of(markdown: str) -> str:
    """List what the package exports and a page does not name, errors aside: they are a module."""
    named = set(re.findall(r"(?m)^::: artpack\.(\w+)$", markdown))
    others = [name for name in artpack.__all__ if name not in named]
    chosen = [name for name in others if not name.endswith("Error") and name != "__version__"]
    return "\n".join(f"::: artpack.{name}" for name in chosen)


def _results(found: re.Match[str]) -> str:
    """Write a file of results as a table, with what it was measured on."""
    with (RESULTS / f"{found['name']}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = (found["columns"] or "").split()
    columns = chosen or [name for name in rows[0] if name not in MACHINE]
    first = rows[0]
    where = f"`{found['name']}.csv`: {first['cpu']}, {first['cores']} cores, {first['libraries']}."
    lines = [columns, ["---"] * len(columns), *([row[name] for name in columns] for row in rows)]
    return "\n".join([*map(_line, lines), "", where])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _command(name: str) -> str:
    """Ask mkdocs-click for a command."""
    module = f"{name}_" if name == "import" else name
    return (
        f"::: mkdocs-click\n    :module: artpack_cli.commands.{module}\n"
        f"    :command: {module}\n    :prog_name: artpack {name}\n"
        "    :depth: 2\n    :style: plain\n"
    )
