"""
What a function needs of this package, as the source of one module.

Definitions are followed by name from where they are used to where they are written, through
imports, and put together in an order in which they need each other. What a decoder has no use
for does not come along: methods that nobody names, stages that are not asked for, compiled
functions (:func:`~artpack.system.jit.portable` says what stands for them), docstrings and
annotations.
"""

import ast
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from artpack.portable.trimming import Trimmer, attributes_of, stand_in
from artpack.stages import ConfiguredStage, Record

PACKAGE = "artpack"

LATE = "artpack.system.late"
"""Where modules come from that are imported when they are used: here they are imported at once."""

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class Place:
    """
    Where something is defined.

    Attributes:
        module: The full name of a module.
        name: The name there.
    """

    module: str
    name: str


class Module:
    """
    A module of this package, by its source.

    Args:
        name: Its full name.

    Attributes:
        definitions: Name to what it stands for.
        own: Name to where in this package it is imported from.
        foreign: Name to the import of it from somewhere else.
    """

    def __init__(self, name: str) -> None:
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        self.definitions: dict[str, Definition] = {}
        self.own: dict[str, Place] = {}
        self.foreign: dict[str, str] = {}
        for node in ast.parse(Path(found.origin).read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._read_import(node)
            elif isinstance(node, Definition):
                self.definitions |= {_defined(one): one for one in _split(node)}

    def _read_import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            name = alias.asname or alias.name
            if isinstance(node, ast.Import) or node.module == LATE:
                self.foreign[name] = ast.unparse(ast.Import([alias]))
            elif str(node.module).split(".", maxsplit=1)[0] == PACKAGE:
                self.own[name] = Place(str(node.module), alias.name)
            else:
                self.foreign[name] = ast.unparse(ast.ImportFrom(node.module, [alias], 0))


def _split(node: Definition) -> list[Definition]:
    """Return an assignment to several names as one for each."""
    if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Tuple):
        return [node]
    assert isinstance(node.value, ast.Tuple)
    pairs = zip(node.targets[0].elts, node.value.elts, strict=True)
    return [ast.Assign([name], value, lineno=node.lineno) for name, value in pairs]


def _defined(node: Definition) -> str:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    return ast.unparse(target)


@cache
def module(name: str) -> Module:
    """
    Read a module, once.

    Args:
        name: Its full name.

    Returns:
        What it defines and imports.

    """
    return Module(name)


Change = Callable[[Place, ast.stmt], ast.stmt]
"""What is done to a definition, by where it is, once it is trimmed."""


def link(
    entry: Place,
    wanted: Collection[str],
    *,
    quiet: bool = False,
    change: Change | None = None,
    records: Mapping[str, Record] | None = None,
) -> str:
    """
    Put everything that a function needs into one module.

    Args:
        entry: The function.
        wanted: Ids of the stages and names of the dtypes that are needed.
        quiet: Leave out what errors say besides their name.
        change: Is given every definition, trimmed, and may change it.
        records: Records that are written down at the end, by name. Fields of records that
            nobody reads are left out.

    Returns:
        Python's source; it imports nothing of this package.

    """
    attributes: frozenset[str] = frozenset()
    while True:
        linker = Linker(wanted, attributes, quiet=quiet, change=change)
        linker.add(entry)
        constants = [f"{name} = {linker.literal(one)}\n" for name, one in (records or {}).items()]
        if linker.attributes == attributes:
            return linker.source() + "".join(constants)
        attributes = linker.attributes


class Linker:
    """
    Definitions, collected.

    Args:
        wanted: Ids of the stages and names of the dtypes that are needed.
        attributes: Names of methods that are needed, as far as is known.
        quiet: Leave out what errors say besides their name.
        change: Is given every definition, trimmed, and may change it.
    """

    def __init__(
        self,
        wanted: Collection[str],
        attributes: frozenset[str],
        *,
        quiet: bool,
        change: Change | None = None,
    ) -> None:
        self._wanted, self._known, self._quiet = wanted, attributes, quiet
        self._change = change
        self.attributes = attributes
        self._nodes: dict[Place, Definition] = {}
        self._imports: dict[str, str] = {}

    def add(self, place: Place) -> None:
        """
        Collect a definition, after what it needs.

        Args:
            place: Where it is.

        """
        if place in self._nodes:
            return
        here = module(place.module)
        find = partial(self._find, place.module)
        trimmer = Trimmer(self._wanted, self._known, find, quiet=self._quiet)
        node = trimmer.trim(here.definitions[place.name])
        if self._change is not None:
            node = self._change(place, node)
        self.attributes |= attributes_of(node)
        self._nodes[place] = node
        for name in sorted(_names(node)):
            if (found := self._resolve(place.module, name)) is not None:
                self.add(found)
            elif name in here.foreign:
                given = self._imports.setdefault(name, here.foreign[name])
                assert given == here.foreign[name], f"two things are imported as {name!r}"
        self._nodes[place] = self._nodes.pop(place)

    def literal(self, value: object) -> str:
        """
        Write a value, and collect the classes of the records that it is made of.

        Args:
            value: A record, a tuple of such, or what has a literal.

        Returns:
            An expression; in it, what is nobody's field any more is left out.

        """
        if isinstance(value, tuple):
            return f"({''.join(f'{self.literal(one)}, ' for one in value)})"
        if not isinstance(value, Record):
            return repr(value)
        kind = type(value)
        self.add(Place(kind.__module__, kind.__name__))
        whole = isinstance(value, ConfiguredStage)
        names = [one.name for one in fields(cast("Any", value)) if whole or one.name in self._known]
        given = ", ".join(f"{name}={self.literal(getattr(value, name))}" for name in names)
        return f"{kind.__name__}({given})"

    def _resolve(self, where: str, name: str) -> Place | None:
        """Find what a name stands for in a module; None if it is not of this package."""
        here = module(where)
        if name in here.own:
            return self._resolve(here.own[name].module, here.own[name].name)
        if name not in here.definitions:
            return None
        other = stand_in(here.definitions[name])
        return Place(where, name) if other is None else self._resolve(where, other)

    def _find(self, where: str, name: str) -> ast.AST:
        """Return the definition that a name stands for in a module, or nothing of interest."""
        here = module(where)
        if name in here.own:
            return self._find(here.own[name].module, here.own[name].name)
        return here.definitions.get(name, ast.Pass())

    def source(self) -> str:
        """
        Write the module.

        Returns:
            Imports, then definitions.

        """
        names = self._unique_names()
        lines = sorted(set(self._imports.values()))
        for place, node in self._nodes.items():
            renames = {}
            for name in _names(node) | {place.name}:
                found = self._resolve(place.module, name)
                if found is not None and names[found] != name:
                    renames[name] = names[found]
            lines.append(ast.unparse(_Renamer(renames).visit(node)))
        return "\n".join(lines) + "\n"

    def _unique_names(self) -> dict[Place, str]:
        names: dict[Place, str] = {}
        taken = set(self._imports)
        for place in self._nodes:
            name = place.name
            while name in taken:
                name += "_"
            taken.add(name)
            names[place] = name
        return names


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


class _Renamer(ast.NodeTransformer):
    """Gives what is defined at the top of modules other names."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._names.get(node.id, node.id), node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        assert node.arg not in self._names, f"the argument {node.arg!r} has a name of the module"
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.name = self._names.get(node.name, node.name)
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.name = self._names.get(node.name, node.name)
        self.generic_visit(node)
        return node
