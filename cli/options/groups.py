"""Options in groups, so that the help of a command with many of them fits on a screen."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
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


def option_of(group: str) -> Callable[..., Callable[[F], F]]:
    """Return ``click.option`` for options of a group."""
    return partial(click.option, cls=GroupedOption, group=group)
