"""
Run folders: what long work has found so far, so that it goes on where it was ended.

A folder belongs to one job. Each result in it is a file of its own, whose name carries a hash
of all that the result follows from, and a hash of its content: ``NAME.INPUTS.CONTENT``. So a
result is there whole or not at all, and what was found with other inputs or settings is never
taken for it, and never deleted.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from artpack.system.atomic import new_folder, write_atomically

FORMAT = "artpack-run-1"
MARK = "run.json"
"""The file by which a folder is known."""

LEAST_S = 2.0
"""What took less is not kept: it is as soon found again."""

EVERY_S = 60.0
"""How often what is summed up is kept; twice that where a file takes long to write."""

SHARE = 20
"""Writing may take one part of so many of the time."""

MAX_MARK_BYTES = 4096

_RESULT = re.compile(r"[a-z0-9-]+\.([0-9a-f]{32})\.[0-9a-f]{32}")
_TEMPORARY = re.compile(r"\..+\.tmp")

Content = Callable[[], Iterable[bytes]]
"""Gives the content of a file, piece by piece; asked for twice."""


class RunFolder:
    """
    Results of one job, in a folder that is made when there is a first one.

    What cannot be read counts as missing, and what cannot be written is not kept: neither
    ends the work. Nothing is used or deleted that another job has left there, or that was found
    with other inputs.

    Args:
        path: The folder.
        job: What is done there, such as ``compress``; folders of other jobs are left alone.
        said: Told in a line what was found there, or went wrong.

    Attributes:
        in_use: Whether anything was kept or found there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        job: str,
        *,
        said: Callable[[str], None] | None = None,
    ) -> None:
        self.path = Path(path)
        self._mark = {"format": FORMAT, "job": job}
        self._said: Callable[[str], None] = said or (lambda _: None)
        self._own = self._look()
        self._full = self.in_use = False
        self._known = set[str]()
        self._kept_at, self._every_s = time.monotonic(), EVERY_S

    @property
    def has_results(self) -> bool:
        """Whether there is anything to go on from."""
        return self._own and any(_RESULT.fullmatch(file.name) for file in _files(self.path))

    def find(self, name: str, inputs: Any) -> Path | None:
        """
        Look for a result.

        Args:
            name: What it is, in small letters, digits and ``-``.
            inputs: All that it follows from, as JSON.

        Returns:
            Its file; None if there is none that is whole.

        """
        prefix = self._prefix(name, inputs)
        for file in _files(self.path) if self._own else ():
            if not file.name.startswith(prefix) or not _RESULT.fullmatch(file.name):
                continue
            if _is_whole(file):
                self._tell_found()
                return file
            self._said(f"{file}: damaged, and not used")
        return None

    def keep(self, name: str, inputs: Any, content: Content, *, seconds: float) -> None:
        """
        Keep a result, in the place of an older one of the same name and inputs.

        Args:
            name: What it is, in small letters, digits and ``-``.
            inputs: All that it follows from, as JSON.
            content: Of its file.
            seconds: What it took to find; see ``LEAST_S``.

        """
        if not self._own or self._full or seconds < LEAST_S:
            return
        started, prefix = time.monotonic(), self._prefix(name, inputs)
        try:
            self._make()
            target = self.path / f"{prefix}{_hash(content())}"
            write_atomically(target, content())
        except OSError as error:
            self._give_up(error)
            return
        self._drop(prefix, but=target)
        self.in_use, self._kept_at = True, time.monotonic()
        took = self._kept_at - started
        self._every_s = min(2 * EVERY_S, max(EVERY_S, SHARE * took))

    def drop(self, name: str, inputs: Any) -> None:
        """Delete a result that another has made needless."""
        if self._own:
            self._drop(self._prefix(name, inputs))

    def is_due(self) -> bool:
        """Say whether it is time to keep what is summed up."""
        return self._own and time.monotonic() - self._kept_at >= self._every_s

    def find_json(self, name: str, inputs: Any) -> Any:
        """Return a result that is JSON; None if there is none."""
        file = self.find(name, inputs)
        try:
            return None if file is None else json.loads(file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None

    def keep_json(self, name: str, inputs: Any, value: Any, *, seconds: float) -> None:
        """Keep a result that is JSON, as :meth:`keep` does."""
        self.keep(name, inputs, lambda: [json.dumps(value).encode()], seconds=seconds)

    def remove(self) -> None:
        """Delete what this run has looked for or kept, and the folder if nothing else is there."""
        if not self._own:
            return
        with suppress(OSError):
            for file in filter(self._is_needless, _files(self.path)):
                file.unlink(missing_ok=True)
            if [file.name for file in _files(self.path)] == [MARK]:
                (self.path / MARK).unlink()
            self.path.rmdir()
        if self.path.exists():
            self._said(f"{self.path}: holds what is not of this run, and is left there")

    def _is_needless(self, file: Path) -> bool:
        result = _RESULT.fullmatch(file.name)
        return bool((result and result[1] in self._known) or _TEMPORARY.fullmatch(file.name))

    def _look(self) -> bool:
        """Say whether the folder is this job's own, or can be made."""
        if not os.path.lexists(self.path) or self._mark == _read_mark(self.path):
            return True
        if not self.path.is_symlink() and self.path.is_dir() and not _files(self.path):
            return True
        self._said(f"{self.path}: not the run folder of this command, and not used")
        return False

    def _make(self) -> None:
        """Make the folder, unless another process of the same run has."""
        try:
            if _read_mark(self.path) != self._mark:
                with new_folder(self.path) as folder:
                    write_atomically(folder / MARK, [json.dumps(self._mark).encode()])
        except OSError:
            if _read_mark(self.path) != self._mark:
                raise

    def _prefix(self, name: str, inputs: Any) -> str:
        text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
        self._known.add(own := _hash([text.encode()]))
        return f"{name}.{own}."

    def _drop(self, prefix: str, but: Path | None = None) -> None:
        """Delete results, and what a kill has left of them."""
        for file in _files(self.path):
            if file.name.startswith((prefix, f".{prefix}")) and file != but:
                with suppress(OSError):
                    file.unlink()

    def _give_up(self, error: OSError) -> None:
        reason = (error.strerror or str(error)).lower()
        self._said(f"{self.path}: {reason}: nothing more is kept on the way")
        self._full = True
        if not self.has_results:
            self.remove()

    def _tell_found(self) -> None:
        if not self.in_use:
            self._said(f"going on from {self.path}")
        self.in_use = True


def _hash(content: Iterable[bytes]) -> str:
    whole = hashlib.sha256()
    for piece in content:
        whole.update(piece)
    return whole.hexdigest()[:32]


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_whole(file: Path) -> bool:
    """Compare the content with the hash in the name."""
    try:
        if file.is_symlink() or not file.is_file():
            return False
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()[:32] == file.name[-32:]
    except OSError:
        return False


def _read_mark(folder: Path) -> Any:
    file = folder / MARK
    try:
        if folder.is_symlink() or not file.is_file():
            return None
        with file.open("rb") as opened:
            return json.loads(opened.read(MAX_MARK_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
