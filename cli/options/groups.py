"""Options in groups, so that the help of a command with many of them fits on a screen."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
OTHER = "Other"


class GroupedOption(click.Option):
    """
    An option that belongs to a group.

    Args:
        args: As click takes them.
        group: Heading under which the help lists it.
        others: As click takes them.
    """

    def __init__(self, *args: Any, group: str = OTHER, **others: Any) -> None:
        super().__init__(*args, **others)
        self.group = group

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return what stands in brackets: defaults, no ranges; errors name those."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


class GroupedCommand(click.Command):
    """A command whose help lists options by group, in the order of first use."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(param, "group", OTHER), []).append(record)
        last = groups.pop(OTHER, [])
        for heading, records in [*groups.items(), (OTHER, last)]:
            with formatter.section(heading):
                formatter.write_dl(records)


def option_of(group: str) -> Callable[..., Callable[[F], F]]:
    """Return ``click.option`` for options of a group."""
    return partial(click.option, cls=GroupedOption, group=group)
