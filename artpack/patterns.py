"""
Regular expressions over names, searched in a time that no expression can stretch.

Python's ``re`` tries one way after another, and ``(a+)+$`` has more ways than anyone can
wait for. Here all ways are followed at once: an expression becomes a graph, and for each
of its nodes the positions of the name that can be reached, one bit each, are found by
passing them along the edges until nothing is new.

Source: Thompson, "Regular expression search algorithm" (1968).
"""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from artpack.errors import UsageError
from artpack.pattern_syntax import Alternatives, Here, Look, Node, Repeat, Sequence, Step, parse

MAX_LETTERS = 1000
MAX_NODES = 2000
_BRANCHING = frozenset("*+?{(")


class Pattern:
    """
    An expression that may be searched in names.

    Everything of ``re`` but references to groups, conditions, possessive and atomic
    groups, and flags other than a leading ``(?i)``.

    Args:
        text: The expression.

    Raises:
        UsageError: It is no regular expression, uses what is not known here, or is too large.

    >>> Pattern(r"(a+)+$").found_in("a" * 200 + "b")
    False

    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._plain, flags = _checked(text)
        self._graph = _Graph()
        try:
            root = parse(text.removeprefix("(?i)"), flags)
            self._last = self._graph.add(root, 0)
        except RecursionError:
            raise UsageError(f"the expression {text!r:.60} is nested too deeply") from None

    def found_in(self, name: str) -> bool:
        """
        Search the expression.

        Args:
            name: Any text.

        Returns:
            Whether it is found anywhere, as ``re.search`` would.

        """
        if self._plain is not None:
            return self._plain.search(name) is not None
        return bool(self._graph.ends(name, 0, self._last))


@lru_cache(maxsize=256)
def compiled(text: str) -> Pattern:
    """
    Return the pattern of an expression, made once.

    Args:
        text: The expression.

    Returns:
        The pattern.

    Raises:
        UsageError: As for :class:`Pattern`.

    """
    return Pattern(text)


def _checked(text: str) -> tuple[re.Pattern[str] | None, re.RegexFlag]:
    """Return Python's own pattern where it has but one way to go, and the flags."""
    if len(text) > MAX_LETTERS:
        raise UsageError(f"an expression of {len(text)} characters, the limit is {MAX_LETTERS}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            python = re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{text!r:.60} is not a regular expression: {error}") from error
    plain = None if _BRANCHING & set(text) else python
    return plain, re.IGNORECASE if text.startswith("(?i)") else re.NOFLAG


@dataclass
class _Graph:
    """
    Nodes, numbered from 0, and edges between them.

    Attributes:
        edges: Of each node: the node at the other end, and what is asked on the way.
        back: The same edges, by the node at their end.
    """

    edges: list[list[tuple[int, "_Test"]]] = field(default_factory=lambda: [[]])
    back: list[list[tuple[int, "_Test"]]] = field(default_factory=lambda: [[]])

    def add(self, node: Node, start: int) -> int:
        """Add a part of an expression behind a node, and return the node at its end."""
        match node:
            case Sequence(parts):
                for part in parts:
                    start = self.add(part, start)
                return start
            case Alternatives(parts):
                end = self._new()
                for part in parts:
                    self._link(self.add(part, start), end, None)
                return end
            case Repeat():
                return self._add_repeat(node, start)
            case Step(accepts):
                return self._link(start, self._new(), _Step(accepts))
            case Here(holds):
                return self._link(start, self._new(), _Here(holds))
            case Look():
                return self._link(start, self._new(), _Look(node))
        raise AssertionError(node)

    def _add_repeat(self, node: Repeat, start: int) -> int:
        for _ in range(node.least):
            start = self.add(node.part, self._link(start, self._new(), None))
        end = self._new()
        if node.most is None:
            turn = self._link(start, self._new(), None)
            self._link(self.add(node.part, turn), turn, None)
            return self._link(turn, end, None)
        for _ in range(node.most - node.least):
            self._link(start, end, None)
            start = self.add(node.part, self._link(start, self._new(), None))
        return self._link(start, end, None)

    def _new(self) -> int:
        if len(self.edges) >= MAX_NODES:
            raise UsageError(f"an expression with more than {MAX_NODES} places: repeat less")
        self.edges.append([])
        self.back.append([])
        return len(self.edges) - 1

    def _link(self, start: int, end: int, test: "_Test") -> int:
        self.edges[start].append((end, test))
        self.back[end].append((start, test))
        return end

    def ends(self, name: str, start: int, end: int) -> int:
        """Return the positions where a way that began anywhere ends."""
        return self._spread(name, start, self.edges, lambda at, may: (at & may) << 1)[end]

    def starts(self, name: str, start: int, end: int) -> int:
        """Return the positions from where a way leads to an end."""
        return self._spread(name, end, self.back, lambda at, may: (at >> 1) & may)[start]

    def _spread(
        self,
        name: str,
        origin: int,
        edges: list[list[tuple[int, "_Test"]]],
        move: Callable[[int, int], int],
    ) -> list[int]:
        """Return the positions that each node can be reached at, from all of those of one."""
        reached = [0] * len(edges)
        masks: dict[_Test, int] = {}
        waiting = {origin: everywhere(name)}
        while waiting:
            node = next(iter(waiting))
            new = waiting.pop(node) & ~reached[node]
            reached[node] |= new
            for other, test in edges[node] if new else ():
                moved = new
                if test is not None:
                    if test not in masks:
                        masks[test] = test.mask(name)
                    steps = isinstance(test, _Step)
                    moved = move(new, masks[test]) if steps else new & masks[test]
                if moved & ~reached[other]:
                    waiting[other] = waiting.get(other, 0) | moved
        return reached


def everywhere(name: str) -> int:
    """
    Return all positions in a name.

    Args:
        name: Any text.

    Returns:
        One bit for each place between characters, before the first and behind the last.

    """
    return (1 << (len(name) + 1)) - 1


def _bits(held: list[bool]) -> int:
    return int("".join("01"[bit] for bit in reversed(held)) or "0", 2)


@dataclass(frozen=True)
class _Step:
    """One character."""

    accepts: re.Pattern[str]

    def mask(self, name: str) -> int:
        """Return the positions before a character that is accepted."""
        known = {letter: self.accepts.fullmatch(letter) is not None for letter in set(name)}
        return _bits([known[letter] for letter in name])


@dataclass(frozen=True)
class _Here:
    """What must hold between two characters."""

    holds: re.Pattern[str]

    def mask(self, name: str) -> int:
        """Return the positions where it holds."""
        places = range(len(name) + 1)
        return _bits([self.holds.match(name, place) is not None for place in places])


class _Look:
    """What must, or must not, come before or behind a position."""

    def __init__(self, look: Look) -> None:
        self._graph = _Graph()
        self._last = self._graph.add(look.part, 0)
        self._find = self._graph.starts if look.ahead else self._graph.ends
        self._wanted = look.wanted

    def mask(self, name: str) -> int:
        """Return the positions where it holds."""
        found = self._find(name, 0, self._last)
        return found if self._wanted else everywhere(name) & ~found


_Test = _Step | _Here | _Look | None
