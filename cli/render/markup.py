"""Text from a stranger's file, made fit for a terminal or a page."""

import html


def printable(value: str) -> str:
    r"""
    Spell out what does not print.

    Args:
        value: Any text.

    Returns:
        Text without control characters, lone surrogates, or the marks that would
        let a name write itself backwards.

    >>> print(printable("a\x1b[31m\u202e"))
    a\x1b[31m\u202e

    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def escape(value: str) -> str:
    r"""
    Make any text fit for the inside of an HTML element or of a quoted attribute.

    Args:
        value: Any text.

    Returns:
        Text that is displayed as ``printable(value)``.

    >>> print(escape('<b title="a">\x00'))
    &lt;b title=&quot;a&quot;&gt;\x00

    """
    return html.escape(printable(value))
