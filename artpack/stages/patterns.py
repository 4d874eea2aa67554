"""
Regular expressions over names, searched within a time limit.

Expressions come from recipe files, and ``(a+)+$`` has more ways to fail than anyone can wait
for. The library ``regex`` takes the same expressions as ``re``, and stops when it is told.
"""

import math
import re
import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache

import regex

from artpack.errors import UsageError

MAX_LETTERS = 1000
MAX_REPEATS = 10_000
"""Of all counts of an expression together: the library writes repeats out."""

SEARCH_SECONDS = 1.0
_COUNT = re.compile(r"\{(\d*),?(\d*)\}")


@dataclass(frozen=True)
class Pattern:
    r"""
    An expression that may be searched in names.

    Args:
        text: The expression, as ``re`` takes it.

    Raises:
        UsageError: It is no regular expression, or it is too large.

    >>> Pattern(r"blocks\.\d+\.mlp").found_in("blocks.11.mlp.fc.weight")
    True

    """

    text: str

    def __post_init__(self) -> None:
        if len(self.text) > MAX_LETTERS:
            raise UsageError(
                f"an expression of {len(self.text)} characters, the limit is {MAX_LETTERS}"
            )
        counts = [int(n) for pair in _COUNT.findall(self.text) for n in pair if n]
        if math.prod(n for n in counts if n) > MAX_REPEATS:
            raise UsageError(f"the expression {self.text!r:.60} repeats too often: repeat less")
        try:
            assert self._compiled is not None
        except (re.error, regex.error, OverflowError, RecursionError) as error:
            raise UsageError(f"{self.text!r:.60} is not a regular expression: {error}") from error

    @cached_property
    def _compiled(self) -> regex.Pattern[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(self.text)  # the syntax is that of Python, not the library's own
            return regex.compile(self.text)

    def found_in(self, name: str) -> bool:
        """
        Search the expression.

        Args:
            name: Any text.

        Returns:
            Whether it is found anywhere, as ``re.search`` would.

        Raises:
            UsageError: The search takes longer than ``SEARCH_SECONDS``.

        """
        try:
            return self._compiled.search(name, timeout=SEARCH_SECONDS) is not None
        except TimeoutError:
            raise UsageError(
                f"the expression {self.text!r:.60} takes too long to search in {name!r:.60}:"
                " nest no repeats"
            ) from None


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
