"""What all pages have in common: their files, their security policy, trees of facts."""

import base64
import hashlib
import json
from importlib import resources

from artpack.stages import JsonValue

from ..render.markup import escape


def asset(name: str) -> str:
    """Return the text of a file of this folder."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def policy(style: str, script: str | None = None) -> str:
    """
    Return the content security policy of a page that loads nothing.

    Args:
        style: Its only style.
        script: Its only script, if it has one.

    Returns:
        The policy.

    """
    run = "" if script is None else f" script-src {_hash(script)};"
    return f"default-src 'none'; style-src {_hash(style)};{run} base-uri 'none'; form-action 'none'"


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def headline(figures: dict[str, str]) -> str:
    """Write a few figures, large."""
    return "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>"
        for what, value in figures.items()
    )


def drawing(label: str, svg: str) -> str:
    """Let a drawing scroll by itself where the screen is narrower than it may become."""
    region = f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">'
    return f"<figure>\n{region}\n{svg}\n</div>\n</figure>"


def tree(value: JsonValue) -> str:
    """Write data as nested lists."""
    if isinstance(value, dict) and value:
        items = "\n".join(
            f"<dt><bdi>{escape(key)}</bdi></dt><dd>{tree(item)}</dd>" for key, item in value.items()
        )
        return f"<dl>\n{items}\n</dl>"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return f"<ul>{''.join(f'<li>{tree(item)}</li>' for item in value)}</ul>"
    shown = value if isinstance(value, str) and value else json.dumps(value)
    return f"<code>{escape(shown)}</code>"
