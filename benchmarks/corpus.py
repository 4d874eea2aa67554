"""
Text to train on, out of folders: what ``artpack tokenize`` reads.

The text of docs/TRAINING.md, 32 MB of what Debian 12 documents::

    apt-get download linux-doc-6.1 dict-foldoc dict-jargon
    for package in *.deb; do dpkg -x $package debian; done
    rm -r debian/usr/share/doc/linux-doc-6.1/Documentation/translations
    python -m benchmarks.corpus debian/usr/share/doc/linux-doc-6.1/Documentation \
        debian/usr/share/dictd > text.txt

A document is a file ``.txt`` or ``.rst``, also compressed with gzip, what NUL separates in
one, or an entry of a dictionary ``.dict.dz``.
"""

import argparse
import gzip
import re
import sys
from collections.abc import Iterator
from pathlib import Path

DICTIONARY = ".dict.dz"
KINDS = (".txt", ".rst", ".txt.gz", ".rst.gz", DICTIONARY)
MIN_CHARACTERS = 200
"""Shorter ones mostly refer to others."""


def main() -> None:
    """Write documents separated by NUL."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    folders = parser.parse_args().folders
    text = "\0".join(document for folder in folders for document in documents(folder))
    sys.stdout.buffer.write(text.encode())


def documents(folder: Path) -> Iterator[str]:
    """Yield the documents below a folder, in the order of their paths."""
    for path in sorted(folder.rglob("*")):
        if path.name.endswith(KINDS) and path.is_file():
            # A dictionary's headwords begin lines, all else in it is indented.
            between = r"\n(?=\S)" if path.name.endswith(DICTIONARY) else "\0"
            for document in map(str.strip, re.split(between, read(path))):
                if len(document) >= MIN_CHARACTERS:
                    yield document


def read(path: Path) -> str:
    """Return a file's text, without what is no UTF-8."""
    content = path.read_bytes()
    packed = path.suffix in (".gz", ".dz")
    return (gzip.decompress(content) if packed else content).decode(errors="ignore")


if __name__ == "__main__":
    main()
