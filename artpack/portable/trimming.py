"""Definitions without what a decoder has no use for."""

import ast
from collections.abc import Callable, Collection
from typing import Any

TABLE = "by_id"
"""Makes a table of stages."""

BY_NAME = "ByName"
"""The type of a mapping from names of dtypes."""

RECORD = "Record"
"""A base whose classes are made of what has been checked; a bundle has them whole."""

CHECK = "__post_init__"
BASES = frozenset({"ABC", "ConfiguredStage", "Protocol", RECORD})
MODULE = "nn.Module"
"""A base whose classes are called by their method ``forward``."""

DECORATORS = frozenset({"jit", "portable"})
PLAIN = frozenset({"bool", "float", "int", "str"})
"""Types of fields that are compared with what a header says."""


def stand_in(node: ast.AST) -> str | None:
    """
    Return what stands for a definition where there is numpy alone.

    Args:
        node: The definition.

    Returns:
        A name in its module; None if it stands for itself.

    """
    given = _portable(node)
    return None if given is None or isinstance(given, ast.Constant) else ast.unparse(given)


def is_left_out(node: ast.AST) -> bool:
    """
    Return whether calls of a function are left out.

    Args:
        node: Its definition.

    Returns:
        True if nothing stands for it.

    """
    return isinstance(_portable(node), ast.Constant)


def _portable(node: ast.AST) -> ast.expr | None:
    for decorator in getattr(node, "decorator_list", []):
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "portable":
            return decorator.keywords[0].value
    return None


def stage_id_of(node: ast.AST) -> object:
    """
    Return the id of a stage.

    Args:
        node: The definition of its class.

    Returns:
        The id; None if it has none.

    """
    for statement in getattr(node, "body", []):
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == "stage_id":
            assert isinstance(statement.value, ast.Constant)
            return statement.value.value
    return None


def attributes_of(node: ast.AST) -> frozenset[str]:
    """
    Return the names of attributes that a definition uses.

    Args:
        node: The definition.

    Returns:
        The names.

    """
    return frozenset(one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute))


class Trimmer(ast.NodeTransformer):
    """
    Makes trimmed copies of definitions.

    Args:
        wanted: Ids of stages and names of dtypes that are needed.
        methods: Names of methods that are; the others go.
        find: Gives the definition of a name.
        quiet: Leave out what errors say besides their name.
    """

    def __init__(
        self,
        wanted: Collection[str],
        methods: frozenset[str],
        find: Callable[[str], ast.AST],
        *,
        quiet: bool,
    ) -> None:
        self._wanted, self._methods, self._find, self._quiet = wanted, methods, find, quiet

    def trim(self, node: ast.stmt) -> Any:
        """
        Make a copy of a definition.

        Args:
            node: The definition, left as it is.

        Returns:
            The copy.

        """
        # Nodes refer to others that all trees of a process share, so a deep copy may take in more.
        again = ast.parse(ast.unparse(node)).body[0]
        return ast.fix_missing_locations(self.visit(again))

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        """Leave out bases and methods."""
        calls = frozenset({"forward"}) if self._is_module(node) else frozenset()
        needed = self._methods | calls
        is_record = self._is_record(node)
        node.bases = [base for base in node.bases if ast.unparse(base) not in BASES]
        body = [self._member(statement, needed) for statement in node.body]
        if is_record:
            body = [one for one in map(self._record_member, body) if one is not None]
        node.body = [statement for statement in body if statement is not None] or [ast.Pass()]
        return node

    def _is_module(self, node: ast.AST) -> bool:
        """Return whether a class is one of torch's modules."""
        bases = [ast.unparse(base) for base in getattr(node, "bases", [])]
        return MODULE in bases or any(self._is_module(self._find(base)) for base in bases)

    def _is_record(self, node: ast.AST) -> bool:
        """Return whether a class is a record, or one with more fields."""
        bases = [ast.unparse(base) for base in getattr(node, "bases", [])]
        others = [base for base in bases if base not in BASES]
        return RECORD in bases or any(self._is_record(self._find(base)) for base in others)

    def _record_member(self, node: ast.stmt | None) -> ast.stmt | None:
        """Leave out checks of a record, fields that nobody reads, and defaults."""
        if isinstance(node, ast.AnnAssign):
            node.value = None
            return node if ast.unparse(node.target) in self._methods else None
        return None if isinstance(node, ast.FunctionDef) and node.name == CHECK else node

    def _member(self, node: ast.stmt, methods: frozenset[str]) -> ast.stmt | None:
        """Trim a statement of a class's body; None for those that go."""
        if isinstance(node, ast.FunctionDef):
            abstract = any("abstractmethod" in ast.unparse(d) for d in node.decorator_list)
            special = node.name.startswith("__")
            needed = special or node.name in methods
            needed = needed and not abstract and not is_left_out(node)
            return self.visit_FunctionDef(node) if needed else None
        if isinstance(node, ast.AnnAssign):
            return self._field(node)
        return None if _is_text(node) else node

    def _field(self, node: ast.AnnAssign) -> ast.stmt | None:
        kind = ast.unparse(node.annotation)
        if kind.startswith("ClassVar"):
            return None if node.value is None else ast.Assign([node.target], node.value)
        node.annotation = ast.Name(kind if kind in PLAIN else "object", ast.Load())
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Leave out types and decorators."""
        node.decorator_list = [
            decorator
            for decorator in node.decorator_list
            if ast.unparse(getattr(decorator, "func", decorator)) not in DECORATORS
        ]
        node.returns = None
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        """Leave out a type."""
        node.annotation = None
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Leave out texts, and checks that may be left out."""
        if _is_text(node):
            return None
        value = node.value
        called = ast.unparse(value.func) if isinstance(value, ast.Call) else ""
        return None if is_left_out(self._find(called)) else node

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        """Leave out what an error says."""
        if self._quiet and isinstance(node.exc, ast.Call):
            return ast.Raise(node.exc.func, None)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | None:
        """Leave out a type, and what tables have too much."""
        if node.value is None:
            return None
        if ast.unparse(node.annotation).startswith(BY_NAME):
            self._choose_entries(node.value)
        return ast.Assign([node.target], self._filtered(node.value))

    def _choose_entries(self, value: ast.expr) -> None:
        """Leave entries out of a mapping that are not asked for."""
        table = value.args[0] if isinstance(value, ast.Call) else value
        assert isinstance(table, ast.Dict)
        pairs = zip(table.keys, table.values, strict=True)
        kept = [(k, v) for k, v in pairs if isinstance(k, ast.Constant) and k.value in self._wanted]
        table.keys, table.values = [k for k, _ in kept], [v for _, v in kept]

    def _filtered(self, value: ast.expr) -> ast.expr:
        """Leave stages out of a table that are not asked for."""
        if isinstance(value, ast.Call) and ast.unparse(value.func) == TABLE:
            stages = value.args[0]
            assert isinstance(stages, ast.Tuple)
            stages.elts = [
                one
                for one in stages.elts
                if stage_id_of(self._find(ast.unparse(one))) in self._wanted
            ]
        return value


def _is_text(node: ast.stmt) -> bool:
    """Return whether a statement is a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
