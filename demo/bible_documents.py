"""
The King James Bible as documents: what ``artpack tokenize`` reads.

::

    apt-get install bible-kjv
    bible -l100000 'Gen1:1-Rev22:21' | python demo/bible_documents.py > kjv.txt

A document is a chapter: its name and then one verse a line, without numbers.
The text is in the public domain (1611; Debian's package bible-kjv-text says so too).
"""

import re
import sys


def main() -> None:
    """Read what the program ``bible`` prints, write documents separated by NUL."""
    chapters: list[list[str]] = []
    for line in sys.stdin:
        verse = re.match(r"\s+\d+ (.*)", line)
        if verse:
            chapters[-1].append(verse[1])
        elif line.strip():
            chapters.append([line.strip(), ""])
    sys.stdout.write("\0".join("\n".join(chapter) for chapter in chapters))


if __name__ == "__main__":
    main()
