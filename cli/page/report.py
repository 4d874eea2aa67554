"""What the pages of ``artpack compress`` and ``artpack sweep`` are made of: sections."""

from collections.abc import Iterable, Sequence
from string import Template

from ..render.flags import with_flags
from ..render.markup import escape
from .assets import asset, headline, policy
from .tables import FILTER


def report_page(
    title: str, subject: str, lead: str, figures: dict[str, str], sections: Iterable[str]
) -> str:
    """
    Write a page of sections.

    Args:
        title: What was packed.
        subject: What the page says of it.
        lead: A sentence below the title.
        figures: A few numbers, by what they are.
        sections: From :func:`section`; one of them has the table that a filter is for.

    Returns:
        An HTML page that refers to nothing outside; the same input gives the same page.

    """
    style, script = asset("page.css"), asset("page.js")
    return Template(asset("report.html")).substitute(
        title=escape(title),
        subject=subject,
        policy=policy(style, script),
        style=style,
        script=script,
        lead=lead,
        headline=headline(figures),
        sections="\n".join(filter(None, sections)),
    )


def section(heading: str, *content: str) -> str:
    """Write a section; its id is the heading's first word."""
    at = _id(heading)
    inside = "\n".join(filter(None, content))
    return f'<section aria-labelledby="{at}">\n<h2 id="{at}">{heading}</h2>\n{inside}\n</section>'


def scrolled(heading: str, content: str, *, filtered: bool = False, coloured: bool = True) -> str:
    """
    Write a table that scrolls by itself where the screen is narrow.

    Args:
        heading: Of its section.
        content: From :func:`artpack_cli.page.tables.table`.
        filtered: Whether the page's filter is for it.
        coloured: Whether its rows have colours.

    Returns:
        The table, below the filter if that is for it.

    """
    kinds = " ".join(["rows", *(["roles"] if coloured else []), *(["tensors"] if filtered else [])])
    region = f'<div class="scroll" role="region" aria-labelledby="{_id(heading)}" tabindex="0">'
    above = FILTER if filtered else ""
    return f'{above}{region}\n<table class="{kinds}">\n{content}\n</table>\n</div>'


def paragraph(text: str) -> str:
    """Write a paragraph of the page's own words."""
    return f"<p>{text}</p>"


def note(text: str) -> str:
    """Write what explains a table, below it."""
    return f'<p class="note">{text}</p>'


def notes(lines: Sequence[str]) -> str:
    """Write what was decided on the way; empty where nothing was."""
    if not lines:
        return ""
    items = "".join(f"<li>{escape(with_flags(line))}</li>" for line in lines)
    return f'<ul class="note">{items}</ul>'


def _id(heading: str) -> str:
    return heading.split(maxsplit=1)[0].lower()
