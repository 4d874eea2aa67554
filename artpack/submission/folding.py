"""Code for one config: what is known of it stands in its place, and what never runs is left out."""

import ast
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from artpack.evaluation.ttt.recipe import Blocks, Lora, OverStream, Phased, Recipe, Scalars
from artpack.models.config import ModelConfig
from artpack.stages import Record

GIVEN: Any = object()
"""The value of an expression that is known to be no None, and no more."""

WHOLE: Mapping[str, Any] = {"shared.memory": None}
"""What is known of a model that is not asked to go on by single tokens."""

STILL: Mapping[str, Any] = {
    **WHOLE,
    **dict.fromkeys(("adapters", "self.adapters", "shared.adapters")),
}
"""What is known besides if no document has matrices of its own."""

UNSEEN: Mapping[str, Any] = dict.fromkeys(
    ("state", "keeper", "observer", "progress", "self._observer", "self._progress")
)
"""What is known of an evaluation that learns, is not kept, and is shown to nobody."""

Known = Mapping[str, Any]
"""Expression to value, where it is known."""


def known_of(config: ModelConfig, recipe: Recipe | None = None) -> dict[str, Any]:
    """
    Return what is known inside a model.

    Args:
        config: The model.
        recipe: How it learns while it is scored, if it does.

    Returns:
        Expressions of ``artpack.models`` to their values.

    """
    known = dict(WHOLE if isinstance(recipe, Lora) else STILL)
    for name, value in (("config", config), ("rope", config.rope), ("cap", config.softcap)):
        known |= _values(name, value)
    known |= _values("self.config", config)
    if config.lanes is None:
        known |= {"self.config.opens_lanes(layer)": False, "self.config.lanes": None}
    if not config.xsa_last_layers:
        known["self.excludes_self"] = False
    if config.value_embedding is None:
        known["self.layer in shared.values"] = False
    if not config.simulated:
        known["config.grid_of(name)"] = None
    for name in ("head_dim", "kv_dim", "num_skips"):
        value = getattr(config, name)
        known |= {f"config.{name}": value, f"self.config.{name}": value}
    return known


def known_of_recipe(recipe: Recipe) -> dict[str, Any]:
    """
    Return what is known where a model learns while it is scored.

    Args:
        recipe: How it does.

    Returns:
        Expressions of ``artpack.evaluation.ttt`` to their values.

    """
    known = dict(UNSEEN)
    for name in ("recipe", "self._recipe"):
        known |= _values(name, recipe)
        for kind in (OverStream, Scalars, Blocks, Lora, Phased):
            known[f"isinstance({name}, {kind.__name__})"] = isinstance(recipe, kind)
    kinds = {recipe.rule.kind}
    if isinstance(recipe, Phased):
        kinds.add(recipe.shared.kind)
    else:
        phase = ("isinstance(step.place, Phase)", "group.number in self._phases")
        known |= dict.fromkeys(phase, False)
    return known if len(kinds) > 1 else known | {"rule.kind": recipe.rule.kind}


def _values(name: str, value: Any) -> dict[str, Any]:
    """Return the values of an expression and of its attributes."""
    if not isinstance(value, Record):
        return {} if isinstance(value, tuple) else {name: value}
    found = {name: GIVEN}
    for field in fields(value):  # type: ignore[arg-type] # records are dataclasses
        found |= _values(f"{name}.{field.name}", getattr(value, field.name))
    return found


def fold(node: ast.stmt, known: Known) -> ast.stmt:
    r"""
    Put what is known into a definition, and leave out what then never runs.

    Args:
        node: A function or a class; it is changed.
        known: Expression to value.

    Returns:
        The definition.

    >>> function = ast.parse("def f(x):\n a = c.a\n if a is None or x: return 1\n return c.b")
    >>> print(ast.unparse(fold(function.body[0], {"c.a": None, "c.b": 2})))
    def f(x):
        return 1

    """
    before = ""
    while (now := ast.unparse(node)) != before:
        before = now
        node = _Folder(known).visit(node)
        if isinstance(node, ast.ClassDef):
            known = {**dict.fromkeys(_always_none(node)), **known}
    return node


def _always_none(node: ast.ClassDef) -> set[str]:
    """Return attributes of ``self`` that are never given anything but None."""
    none, other = set[str](), set[str]()
    for one in ast.walk(node):
        if isinstance(one, ast.Assign):
            nothing = isinstance(one.value, ast.Constant) and one.value.value is None
            for target in one.targets:
                for part in getattr(target, "elts", [target]):
                    (none if nothing else other).add(ast.unparse(part))
    return {name for name in none - other if name.startswith("self.")}


class _Folder(ast.NodeTransformer):
    def __init__(self, known: Known) -> None:
        self._known = known

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Follow names that stand for what is known, in this function alone."""
        outer, own = self._known, _aliases(node, self._known)
        self._known = {**outer, **own}
        node.body = self._block(node.body) or [ast.Pass()]
        self._known = outer
        loaded = {
            one.id
            for one in ast.walk(node)
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)
        }
        _Dropper({name for name in own if name.isidentifier()} - loaded).visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def _block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Fold statements up to the first that leaves."""
        kept: list[ast.stmt] = []
        for statement in body:
            made = self.visit(statement)
            kept += made if isinstance(made, list) else [] if made is None else [made]
            if kept and isinstance(kept[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
                break
        return kept

    def visit_If(self, node: ast.If) -> ast.If | list[ast.stmt]:
        """Keep the branch that runs."""
        node.test = self.visit(node.test)
        truth = self._truth(node.test)
        if truth is not None:
            return self._block(node.body if truth else node.orelse)
        node.body = self._block(node.body) or [ast.Pass()]
        node.orelse = self._block(node.orelse)
        return node

    def visit_For(self, node: ast.For) -> ast.For:
        """Keep a body."""
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        """Keep the branch that runs."""
        node.test = self.visit(node.test)
        truth = self._truth(node.test)
        if truth is not None:
            return self.visit(node.body if truth else node.orelse)  # type: ignore[no-any-return]
        node.body, node.orelse = self.visit(node.body), self.visit(node.orelse)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        """Leave out what does not matter, and all behind what decides."""
        decides, values = isinstance(node.op, ast.Or), list[ast.expr]()
        for last, one in enumerate(map(self.visit, node.values), 1 - len(node.values)):
            truth = self._truth(one)
            if truth is not (not decides) or not last:
                values.append(one)
            if truth is decides:
                break
        node.values = values
        return values[0] if len(values) == 1 else node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        """Negate what is known."""
        node.operand = self.visit(node.operand)
        truth = self._truth(node.operand) if isinstance(node.op, ast.Not) else None
        return node if truth is None else ast.Constant(not truth)

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        """Compare what is known."""
        if ast.unparse(node) in self._known:
            return ast.Constant(self._known[ast.unparse(node)])
        self.generic_visit(node)
        if len(node.ops) != 1:
            return node
        left, right = self._value(node.left), self._value(node.comparators[0])
        if left is _UNKNOWN or right is _UNKNOWN:
            return node
        outcomes: dict[type[ast.cmpop], bool] = {
            ast.Is: left is right,
            ast.IsNot: left is not right,
        }
        if GIVEN not in (left, right):
            outcomes |= {ast.Eq: left == right, ast.NotEq: left != right}
        outcome = outcomes.get(type(node.ops[0]))
        return node if outcome is None else ast.Constant(outcome)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        """Put a value in the place of an attribute."""
        return self._known_or(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Put a value in the place of a name."""
        return self._known_or(node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Put a value in the place of a call."""
        return self._known_or(node)

    def _known_or(self, node: ast.Attribute | ast.Name | ast.Call) -> ast.expr:
        value = self._known.get(ast.unparse(node), GIVEN)
        if value is not GIVEN and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return ast.Constant(value)
        self.generic_visit(node)
        return node

    def _value(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.BoolOp):  # what is asked has no effects, so the order is free
            decides = isinstance(node.op, ast.Or)
            return decides if decides in map(self._truth, node.values) else _UNKNOWN
        return self._known.get(ast.unparse(node), _UNKNOWN)

    def _truth(self, node: ast.expr) -> bool | None:
        value = self._value(node)
        return None if value is _UNKNOWN else bool(value)


_UNKNOWN: Any = object()


def _aliases(node: ast.FunctionDef, known: Known) -> dict[str, Any]:
    """Return what is known of names that a function gives a value once."""
    stored = [
        one.id
        for one in ast.walk(node)
        if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)
    ]
    stored += [one.arg for one in ast.walk(node) if isinstance(one, ast.arg)]
    found: dict[str, Any] = {}
    for name, value in _assignments(node):
        text = ast.unparse(value)
        if stored.count(name) != 1:
            continue
        if isinstance(value, ast.Constant):
            found[name] = value.value
        elif text in known:
            found[name] = known[text]
            start = f"{text}."
            found |= {
                f"{name}.{k[len(start) :]}": v for k, v in known.items() if k.startswith(start)
            }
    return found


def _assignments(node: ast.AST) -> list[tuple[str, ast.expr]]:
    pairs: list[tuple[ast.expr, ast.expr]] = []
    for one in ast.walk(node):
        if isinstance(one, ast.Assign) and len(one.targets) == 1:
            target, value = one.targets[0], one.value
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs += zip(target.elts, value.elts, strict=True)
            else:
                pairs.append((target, value))
    return [(target.id, value) for target, value in pairs if isinstance(target, ast.Name)]


class _Dropper(ast.NodeTransformer):
    """Leaves out assignments to names that nobody reads."""

    def __init__(self, names: set[str]) -> None:
        self._names = names

    def visit_Assign(self, node: ast.Assign) -> ast.Assign | None:
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Name):
            return None if target.id in self._names else node
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = zip(target.elts, value.elts, strict=True)
            kept = [(a, b) for a, b in pairs if ast.unparse(a) not in self._names]
            if not kept:
                return None
            target.elts, value.elts = [a for a, _ in kept], [b for _, b in kept]
            if len(kept) == 1:
                return ast.Assign([target.elts[0]], value.elts[0], lineno=node.lineno)
        return node
