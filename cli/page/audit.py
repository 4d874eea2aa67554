"""One self-contained page about an audit, for a reviewer to attach."""

from collections.abc import Mapping
from string import Template
from typing import Any

from ..render.markup import escape
from .assets import asset, headline, policy, tree


def audit_page(title: str, found: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """
    Show what an audit found.

    Args:
        title: What was audited.
        found: Has ``passed`` and ``conditions``.
        facts: More, a section for each name; what is empty is left out.

    Returns:
        An HTML page that refers to nothing outside.

    """
    style = asset("page.css")
    broken = [one["name"] for one in found["conditions"] if not one["passed"]]
    figures = {
        "outcome": "passed" if found["passed"] else "FAILED",
        "conditions": f"{len(found['conditions']):,}",
        "broken": ", ".join(broken) or "none",
    }
    return Template(asset("audit.html")).substitute(
        title=escape(title),
        policy=policy(style),
        style=style,
        outcome=figures["outcome"],
        headline=headline(figures),
        conditions="\n".join(map(_row, found["conditions"])),
        facts="\n".join(_section(name, value) for name, value in facts.items() if value),
    )


def _row(condition: Mapping[str, Any]) -> str:
    outcome = "passed" if condition["passed"] else "failed"
    said = [f"{escape(condition['rule'])}.<br>{escape(condition['checked'])}"]
    if condition["violations"]:
        more = condition["count"] - len(condition["violations"])
        lines = [*condition["violations"], *([f"and {more:,} more"] if more else [])]
        said.append(f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>")
    return (
        f'<tr><th scope="row">{escape(condition["name"])}</th><td class="{outcome}">{outcome}</td>'
        f"<td>{''.join(said)}</td></tr>"
    )


def _section(name: str, value: Any) -> str:
    return f'<section>\n<h2>{name}</h2>\n<div class="facts">{tree(value)}</div>\n</section>'
