"""Options in groups for the help, and several options as one argument."""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
Decorator: TypeAlias = Callable[[F], F]
OWN = "Options"
WEIGHTS = "Weights"
DATA = "Data"
SIZE = "Size and loss"
METHOD = "Method"
OUTPUT = "Output"


class GroupedOption(click.Option):
    """
    An option that belongs to a group.

    Args:
        *args: As click takes them.
        group: Heading under which the help lists it.
        **others: As click takes them.
    """

    def __init__(self, *args: Any, group: str = OWN, **others: Any) -> None:
        super().__init__(*args, **others)
        self.group = group

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return what stands in brackets: defaults, no ranges; errors name those."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


def write_grouped(
    params: list[click.Parameter], ctx: click.Context, formatter: click.HelpFormatter
) -> None:
    """
    Write options by group: those of the command alone, then shared ones, help at last.

    Args:
        params: Of a command.
        ctx: Its context.
        formatter: Where to.

    """
    groups: dict[str, list[tuple[str, str]]] = {OWN: []}
    for param in params:
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record is not None:
            helps = set(param.opts) <= set(ctx.help_option_names)
            group = list(groups)[-1] if helps else getattr(param, "group", OWN)
            groups.setdefault(group, []).append(record)
    for heading, records in groups.items():
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)


def option_of(group: str) -> Callable[..., Decorator[Any]]:
    """Return ``click.option`` for options of a group."""
    return functools.partial(click.option, cls=GroupedOption, group=group)


def together(*options: Decorator[Any]) -> Decorator[Any]:
    """Return one decorator that gives a command several options, in this order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def as_argument(name: str, make: Callable[..., Any], *options: Decorator[Any]) -> Decorator[Any]:
    """
    Return a decorator that gives a command several options as one argument.

    Args:
        name: Of the argument.
        make: Values of the options, by name, to the value of the argument.
        *options: The options.

    Returns:
        The decorator.

    """
    declared = together(*options)(lambda: None).__click_params__
    names = {param.name for param in declared}

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def call(**params: Any) -> Any:
            own = {key: params.pop(key) for key in names}
            return command(**{name: make(**own)}, **params)

        decorated: F = together(*options)(call)
        return decorated

    return decorate
