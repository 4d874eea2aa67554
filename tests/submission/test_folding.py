"""Folding keeps what a function does and leaves out what never runs."""

import ast
from textwrap import dedent
from typing import Any

import pytest

from artpack.submission.folding import GIVEN, fold


def folded(source: str, known: dict[str, Any]) -> str:
    return ast.unparse(fold(ast.parse(dedent(source)).body[0], known))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("return c.none is None", "return True"),
        ("return c.some is not None and x", "return x"),
        ("return x or c.some is not None", "return x or True"),
        ("return 1 if x and c.none else 2", "return 2"),
        ("return not c.none", "return True"),
        ("return c.two == 2, c.two != 2, c.two < x", "return (True, False, 2 < x)"),
        ("if c.none:\n  return 1\n return 2", "return 2"),
        ("if c.two:\n  return 1\n return 2", "return 1"),
        ("for i in x:\n  if c.none:\n   y(i)", "for i in x:\n    pass"),
        ("a, b = c.none, c.some\n return a is None, b.size", "b = c.some\nreturn (True, b.size)"),
        ("a = c.some\n return a.two", "return 2"),
        ("a = c.none\n a = x\n return a", "a = None\na = x\nreturn a"),
        ("c.two = x", "c.two = x"),
    ],
)
def test_statements(before: str, after: str) -> None:
    known = {"c.none": None, "c.two": 2, "c.some": GIVEN, "c.some.two": 2}
    body = after.replace("\n", "\n    ")
    assert folded(f"def f(c, x):\n {before}", known) == f"def f(c, x):\n    {body}"


def test_attributes_that_are_never_given_anything() -> None:
    source = """
    class A:
        def __init__(self, x):
            self.a = None
            self.b = None
            if c.none is not None:
                self.a = x
            self.b = x
        def f(self):
            return self.a is None, self.b is None
    """
    assert "return (True, self.b is None)" in folded(source, {"c.none": None})


def test_an_argument_hides_a_name() -> None:
    assert folded("def f(a):\n a = c.none\n return a", {"c.none": None}).endswith("return a")
