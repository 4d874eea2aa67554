"""Plain words for what grids and coders are called in files."""

import re
from collections.abc import Iterable, Sequence

CODERS = {
    "bytes": "",
    "bits": "packed bits",
    "base3": "base 3",
    "base5": "base 5",
    "base5-word": "base 5 in words",
    "planes": "bit planes",
    "rans": "rANS",
    "classed-rans": "rANS by class",
    "adaptive": "adaptive",
}
CODECS = {
    "stored": "",
    "zstd": "zstd",
    "brotli": "Brotli",
    "lzma": "LZMA",
    "zpaq": "ZPAQ",
    "lrzip": "lrzip",
}
LAYOUTS = {"rows": "", "columns": "by columns", "similar-rows": "similar rows together"}
"""Ids of stages; what goes without saying has no words."""

GRIDS = (
    (re.compile(r"lattice/(\d+)"), r"lattice, \1 states"),
    (re.compile(r"\+rank(\d+)"), r" and rank \1"),
    (re.compile(r"asym-int(\d)"), r"asymmetric int\1"),
)


def grid_words(label: str) -> str:
    """
    Say what a grid is.

    Args:
        label: Its label.

    Returns:
        Words; the label itself where it is a word.

    >>> grid_words("lattice/64"), grid_words("int6+rank4"), grid_words("fp16")
    ('lattice, 64 states', 'int6 and rank 4', 'fp16')

    """
    for pattern, words in GRIDS:
        label = pattern.sub(words, label)
    return label


def pipeline_words(label: str) -> str:
    """
    Say what a pipeline does.

    Args:
        label: Ids of its layout, coder and codec.

    Returns:
        Words.

    >>> pipeline_words("rows|adaptive|stored"), pipeline_words("columns|bytes|lzma")
    ('adaptive', 'LZMA by columns')
    >>> pipeline_words("rows|rans|brotli"), pipeline_words("rows|bytes|stored")
    ('rANS, Brotli', 'as they are')

    """
    layout, coder, codec = label.split("|")
    coded = ", ".join(filter(None, (CODERS[coder], CODECS[codec]))) or "as they are"
    return f"{coded} {LAYOUTS[layout]}".rstrip()


def coding_words(parts: Sequence[tuple[str, str]]) -> str:
    """
    Say how a tensor is coded.

    Args:
        parts: Names of its parts and the labels of their pipelines, codes first.

    Returns:
        Words for the codes, then for all else.

    >>> coding_words([("codes", "rows|adaptive|stored"), ("row_scales", "rows|bytes|lzma")])
    'adaptive; rest: LZMA'

    """
    codes = _distinct(label for name, label in parts if name == parts[0][0])
    rest = [words for words in _distinct(label for _, label in parts) if words not in codes]
    return "; rest: ".join(filter(None, (", ".join(codes), ", ".join(rest))))


def coding_note(parts: Sequence[tuple[str, str]]) -> str:
    """
    Write the pipeline of every part, a line each.

    Args:
        parts: Names of parts and labels of pipelines.

    Returns:
        Lines.

    >>> print(coding_note([("codes", "rows|rans|stored"), ("scales", "rows|bytes|lzma")]))
    codes: rows|rans|stored
    scales: rows|bytes|lzma

    """
    return "\n".join(f"{name}: {label}" for name, label in parts)


def _distinct(labels: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(map(pipeline_words, labels)))
