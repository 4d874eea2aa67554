"""The names of the package, which are imported when they are asked for."""

import ast
from pathlib import Path

import pytest

import artpack


def declared() -> dict[str, str]:
    """Return what the package declares for type checkers: name to module."""
    assert artpack.__file__
    tree = ast.parse(Path(artpack.__file__).read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in blocks[0].body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_each_name_is_declared_and_found() -> None:
    found = {name: home for home, names in artpack._EXPORTS.items() for name in names}
    assert declared() == found
    assert sorted([*found, "__version__"]) == artpack.__all__
    for name in artpack.__all__:
        assert getattr(artpack, name) is not None
        assert name in dir(artpack)


def test_packages_are_found_too() -> None:
    assert artpack.errors.UsageError is artpack.UsageError
    assert artpack.models.ModelConfig is artpack.ModelConfig


def test_star_gives_all_and_nothing_else_is_there() -> None:
    names: dict[str, object] = {}
    exec("from artpack import *", names)  # noqa: S102 - a star is allowed at the top alone
    assert {*artpack.__all__} <= {*names}
    with pytest.raises(AttributeError, match="no attribute 'pack_it'"):
        artpack.pack_it  # type: ignore[attr-defined] # noqa: B018 - its absence is tested
