"""
The parts of a regular expression.

Python's ``re`` has accepted the expression before it is taken apart here, and goes on to
judge single characters and places between them: so there is one meaning of ``[^a-z]``.
"""

import re
import warnings
from dataclasses import dataclass

from artpack.errors import UsageError

_LETTER = re.compile(
    r"\\x..|\\u.{4}|\\U.{8}|\\N\{[^}]*\}|\\0[0-7]{0,2}|\\[0-3][0-7]{2}|\\[^0-9]"
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\]",
    re.DOTALL,
)
_PLACES = frozenset({"^", "$", r"\A", r"\Z", r"\b", r"\B"})
_REPEAT = re.compile(r"([*+?])|\{(?!\})(\d*)(?:(,)(\d*))?\}")
_GROUP = re.compile(r"\((?:\?(?:(:)|P<\w+>|(<?[=!])))?")
_SIGNS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


@dataclass(frozen=True)
class Step:
    """One character."""

    accepts: re.Pattern[str]


@dataclass(frozen=True)
class Here:
    """A place between characters, such as the end."""

    holds: re.Pattern[str]


@dataclass(frozen=True)
class Sequence:
    """One part after another."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Alternatives:
    """One part or another."""

    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Repeat:
    """A part several times; without end if ``most`` is None."""

    part: "Node"
    least: int
    most: int | None


@dataclass(frozen=True)
class Look:
    """What must be ahead or behind, or must not if it is not wanted."""

    part: "Node"
    ahead: bool
    wanted: bool


Node = Step | Here | Sequence | Alternatives | Repeat | Look


def parse(text: str, flags: re.RegexFlag) -> Node:
    """
    Take an expression apart.

    Args:
        text: One that ``re`` compiles.
        flags: How characters are compared.

    Returns:
        Its parts.

    Raises:
        UsageError: It uses something that is not known here.
        RecursionError: It is nested too deeply.

    """
    return _Parser(text, flags).alternatives()


class _Parser:
    def __init__(self, text: str, flags: re.RegexFlag) -> None:
        self._text, self._flags, self._at = text, flags, 0

    def alternatives(self) -> Node:
        """Read up to the end of the text or of a group."""
        found = [self._sequence()]
        while self._text.startswith("|", self._at):
            self._at += 1
            found.append(self._sequence())
        return found[0] if len(found) == 1 else Alternatives(tuple(found))

    def _sequence(self) -> Node:
        parts = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated(self._part()))
        return Sequence(tuple(parts))

    def _part(self) -> Node:
        if self._text[self._at] == "(":
            return self._group()
        found = _LETTER.match(self._text, self._at)
        if found is None:
            raise self._unknown()
        self._at = found.end()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sets that a later Python may read otherwise
            pattern = re.compile(found[0], self._flags)
        return Here(pattern) if found[0] in _PLACES else Step(pattern)

    def _group(self) -> Node:
        found = _GROUP.match(self._text, self._at)
        assert found is not None
        begin = self._text[self._at : found.end() + 1]
        if found[0] == "(" and begin == "(?":
            raise self._unknown()
        self._at = found.end()
        part = self.alternatives()
        self._at += 1
        sign = found[2]
        return Look(part, "<" not in sign, "=" in sign) if sign else part

    def _repeated(self, part: Node) -> Node:
        found = _REPEAT.match(self._text, self._at)
        if found is None:
            return part
        self._at = found.end()
        if self._text.startswith("+", self._at):
            raise self._unknown()
        if self._text.startswith("?", self._at):  # as few as will do: found all the same
            self._at += 1
        if found[1]:
            return Repeat(part, *_SIGNS[found[1]])
        least = int(found[2] or 0)
        most = least if found[3] is None else int(found[4]) if found[4] else None
        return Repeat(part, least, most)

    def _unknown(self) -> UsageError:
        rest = self._text[self._at : self._at + 12]
        return UsageError(
            f"{self._text!r:.60} uses {rest!r}, which is not known here: no references to groups,"
            " conditions, possessive repeats, comments or flags but a leading (?i)"
        )
