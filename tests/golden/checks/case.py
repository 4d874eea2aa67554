"""A golden folder, and the account of what in it has been checked."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from artpack.models.published import published_system
from tests.golden.checks.record import Record
from tests.golden.checks.report import Report
from tests.golden.checks.unchecked import is_unchecked, only_value


class Entries(Record):
    """The named entries of one file, each to be taken."""

    def take(self, name: str) -> Any:
        """Return an entry, which counts as checked from here on unless it is an object."""
        return self[name]


class Case:
    """
    One golden folder.

    Args:
        folder: Where its files are, absolute.
        tokenizers: Where tokenizers are; None for ``data/tokenizers`` in a folder above.
    """

    def __init__(self, folder: Path, tokenizers: Path | None = None) -> None:
        self.folder, self.tokenizers = folder, tokenizers
        self.label = "/".join(folder.parts[-2:])
        self.files = {p.name for p in folder.iterdir() if p.is_file() and p.suffix != ".md"}
        self._opened: dict[str, Entries] = {}
        self._taken: set[str] = set()
        self.config = self.entries("config.json") if "config.json" in self.files else Entries({})
        self.system = published_system(self.config) if self.config else ""

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def path(self, name: str) -> Path:
        """Return a file's path; the file counts as checked from here on."""
        self._taken.add(name)
        return self.folder / name

    def entries(self, name: str) -> Entries:
        """Return the entries of an ``.npz`` or ``.json`` file, each to be taken."""
        if name not in self._opened:
            path = self.path(name)
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as arrays:
                    self._opened[name] = Entries(dict(arrays))
            else:
                self._opened[name] = Entries(flatten(json.loads(path.read_text())))
        return self._opened[name]

    def settle(self, report: Report) -> None:
        """Fail for what nobody took; to be called when every area has run."""
        untaken = list(self.files - self._taken)
        for name, entries in self._opened.items():
            for path, value in entries.unread():
                if (only := only_value(path)) is not None:
                    report.exact(f"{self.label} {name} {path}", value, only)
                elif not is_unchecked(path):
                    untaken.append(f"{name} {path}")
        for what in sorted(untaken):
            report.fail(f"{self.label} {what}", "there is no check for this")


def flatten(values: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object with what lies under ``results`` as ``results.WEIGHTS.RUN``."""
    flat = {key: value for key, value in values.items() if key != "results"}
    for weights, runs in values.get("results", {}).items():
        flat |= {f"results.{weights}.{run}": value for run, value in runs.items()}
    return flat


def find_cases(root: Path, tokenizers: Path | None = None) -> list[Case]:
    """
    Find every folder with files below a folder, itself included.

    Args:
        root: Where to look.
        tokenizers: Where tokenizers are.

    Returns:
        The cases, in the order of their paths.

    """
    root = root.absolute()
    folders = [root, *sorted(p for p in root.rglob("*") if p.is_dir())] if root.is_dir() else []
    return [case for case in (Case(f, tokenizers) for f in folders) if case.files]
