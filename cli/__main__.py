"""``python -m artpack_cli`` is ``artpack``."""

from .main import main

main()
