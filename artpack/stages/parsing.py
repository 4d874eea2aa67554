"""
TOML and JSON from strangers: read within limits, or refused in one line.

Python's own parsers go as deep as the text does, take numbers of any length, let NaN
through, and raise whatever they please. What comes out of here can be copied, compared
and written again.
"""

import json
import math
import re
import tomllib
from typing import Any

from artpack.errors import UsageError

MAX_DEPTH = 32
MAX_INTEGER = 1 << 64
MAX_DIGITS = 20
MAX_TOML_LETTERS = 1 << 18
"""Recipes have a few thousand."""

MAX_KEY_DOTS = 64
"""Python's parser takes the square of it."""

_TOKEN = re.compile(r""" "[^"\n]*" | '[^'\n]*' | [\w-]+ | [ \t]+ | . | \n """.strip(), re.VERBOSE)


def parse_toml(text: str) -> dict[str, Any]:
    """
    Read a TOML document.

    Args:
        text: The document.

    Returns:
        Its content: text, whole and finite numbers, booleans, lists and tables.

    Raises:
        UsageError: It is no TOML, holds a date, or a number that is not finite or has
            more than 64 bits, or it is too long or too deep.

    >>> parse_toml("a.b = [1, 2.5]")
    {'a': {'b': [1, 2.5]}}

    """
    try:
        _check_length(text)
        found = tomllib.loads(text)
        _check(found, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not valid TOML: {_reason(error)}") from error
    return found


def parse_value(text: str) -> Any:
    """
    Read a value that somebody typed.

    Args:
        text: A TOML value, or plain text.

    Returns:
        The value; the text itself, without blanks around it, if it is no TOML.

    Raises:
        UsageError: It is TOML with a number or a nesting that :func:`parse_toml` refuses.

    >>> parse_value("[1, 2]"), parse_value(" plain ")
    ([1, 2], 'plain')

    """
    try:
        return parse_toml(f"value = {text}")["value"]
    except UsageError as error:
        if isinstance(error.__cause__, tomllib.TOMLDecodeError):
            return text.strip()
        raise


def parse_json(text: str | bytes) -> Any:
    """
    Read a JSON document.

    Args:
        text: The document; bytes in UTF-8, UTF-16 or UTF-32.

    Returns:
        Its content.

    Raises:
        UsageError: It is no JSON, holds a number that is not finite or has more than
            64 bits, or is too deep.

    >>> parse_json(b'{"a": [1, null]}')
    {'a': [1, None]}

    """
    try:
        value = json.loads(text, parse_int=_whole)
        _check(value, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not valid JSON: {_reason(error)}") from error
    return value


def _check_length(text: str) -> None:
    if len(text) > MAX_TOML_LETTERS:
        raise ValueError(f"{len(text)} characters, the limit is {MAX_TOML_LETTERS}")
    dots = 0
    for found in _TOKEN.finditer(text):
        word = found[0]
        if word == ".":
            dots += 1
        elif len(word) == 1 and not (word.isalnum() or word in "_- \t"):
            dots = 0
        if dots > MAX_KEY_DOTS:
            raise ValueError(f"a key of more than {MAX_KEY_DOTS} parts")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS + 1:
        raise ValueError(f"a number of {len(digits)} digits, the limit is 64 bits")
    return int(digits)


def _check(value: object, depth: int) -> None:
    """Fail on what no recipe and no config needs, and what would fail somewhere later."""
    if depth < 0:
        raise RecursionError
    if isinstance(value, dict | list):
        for item in value:
            _check(item, depth - 1)
    if isinstance(value, dict):
        for item in value.values():
            _check(item, depth - 1)
    elif isinstance(value, int | float):
        if not (math.isfinite(value) if isinstance(value, float) else abs(value) < MAX_INTEGER):
            raise ValueError("a number that is not finite, or has more than 64 bits")
    elif not (value is None or isinstance(value, str | list)):
        raise ValueError(f"a {type(value).__name__} where text or a number belongs")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"nested more than {MAX_DEPTH} deep"
    if isinstance(error, UnicodeError):
        return "bytes that are no text"
    if "int_max_str_digits" in str(error):
        return "a number has more than 64 bits"
    return str(error)
