"""``python -m artpack_cli`` is ``artpack``."""

from .entry import main

main()
