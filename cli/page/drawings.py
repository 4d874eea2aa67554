"""The drawings of the page, as SVG for the inside of HTML."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..render.markup import escape
from .treemap import Box, squarify

MAP = Box(0, 0, 1200, 560)
"""In pixels where the page is at its widest."""

CHAR_WIDTH, LINE_HEIGHT, PADDING = 6.7, 14, 6
"""Pixels of the 11 px monospaced labels on the map."""

LABEL_PARTS = 6
"""No more than this many parts of a dotted name are written on the map."""

HISTOGRAM_HEIGHT = 24


@dataclass(frozen=True)
class Piece:
    """
    Bytes that have a place on the map.

    Attributes:
        name: What they are.
        role: Pieces of one role lie together.
        note: More about it, for the tooltip.
        size: How many bytes, above 0.
        hue: Style class of the colour.
        row: Id of the row that it leads to; empty for none.
    """

    name: str
    role: str
    note: str
    size: int
    hue: str
    row: str = ""


def treemap(pieces: Iterable[Piece]) -> str:
    """
    Draw bytes as areas.

    Args:
        pieces: In the order stored.

    Returns:
        An ``svg`` element that they fill; the largest is at the upper left.

    """
    roles: dict[str, list[Piece]] = {}
    # Largest first, but what is about as large stays in the order given: layers count upwards.
    for piece in sorted(pieces, key=lambda piece: -piece.size.bit_length()):
        roles.setdefault(piece.role, []).append(piece)
    groups = sorted(roles.values(), key=_bytes, reverse=True)
    areas, borders = [], []
    for group, border in zip(groups, squarify([_bytes(g) for g in groups], MAP), strict=True):
        boxes = squarify([piece.size for piece in group], border)
        areas += [_area(piece, box) for piece, box in zip(group, boxes, strict=True)]
        borders.append(f'<rect class="border" {_place(border)}/>')
    return (
        f'<svg class="map" viewBox="0 0 {MAP.width} {MAP.height}" role="img"'
        f' aria-label="Map of the bytes; the table has the same numbers">\n'
        f"{''.join(areas)}{''.join(borders)}</svg>"
    )


def _bytes(pieces: Sequence[Piece]) -> int:
    return sum(piece.size for piece in pieces)


def _area(piece: Piece, box: Box) -> str:
    title = f"<title>{escape(piece.name)}\n{escape(piece.note)}</title>"
    drawn = f"{title}<rect {_place(box)}/>{_label(piece.name, box)}"
    if not piece.row:
        return f'<g class="{piece.hue}">{drawn}</g>\n'
    # Not in the tab order: hundreds of stops that lead only to rows of the table.
    return f'<a class="{piece.hue}" href="#{piece.row}" tabindex="-1">{drawn}</a>\n'


def _place(box: Box) -> str:
    return f'x="{box.x:.3f}" y="{box.y:.3f}" width="{box.width:.3f}" height="{box.height:.3f}"'


def _label(name: str, box: Box) -> str:
    chars = int((box.width - 2 * PADDING) / CHAR_WIDTH)
    rows = int((box.height - 2 * PADDING) / LINE_HEIGHT)
    x = f"{box.x + PADDING:.1f}"
    spans = "".join(
        f'<tspan x="{x}" y="{box.y + PADDING + LINE_HEIGHT * i:.1f}">{escape(line)}</tspan>'
        for i, line in enumerate(_lines(name, chars, rows), start=1)
    )
    return f"<text>{spans}</text>" if spans else ""


def _lines(name: str, chars: int, rows: int) -> list[str]:
    """Break a name after dots; drop what comes first until the rest fits."""
    *parents, last = name.removesuffix(".weight").split(".")[-LABEL_PARTS:]
    parts = [f"{parent}." for parent in parents] + [last]
    for start in range(len(parts)):
        lines = [""]
        for part in parts[start:]:
            if len(lines[-1]) + len(part) <= chars:
                lines[-1] += part
            else:
                lines.append(part)
        if len(lines) <= rows and max(map(len, lines)) <= chars:
            return lines
    return []


def histogram(counts: Sequence[int]) -> str:
    """
    Draw how often each symbol occurs.

    Args:
        counts: Of each symbol of the alphabet.

    Returns:
        An ``svg`` element; empty where nothing occurs.

    """
    if not any(counts):
        return ""
    peak = max(counts)
    used = len(counts) - counts.count(0)
    top = f"{counts.index(peak)}: {peak / sum(counts):.1%}"
    about = f"{used} of {len(counts)} symbols occur, most often {top}"
    # Rounded up, so that a symbol that occurs has a bar.
    tops = [HISTOGRAM_HEIGHT - math.ceil(HISTOGRAM_HEIGHT * count / peak) for count in counts]
    bars = "".join(f"V{top}h1" for top in tops)
    return (
        f'<svg class="histogram" viewBox="0 0 {len(counts)} {HISTOGRAM_HEIGHT}"'
        f' preserveAspectRatio="none" role="img" aria-label="{about}"><title>{about}</title>'
        f'<path d="M0 {HISTOGRAM_HEIGHT}{bars}V{HISTOGRAM_HEIGHT}z"/></svg>'
    )
