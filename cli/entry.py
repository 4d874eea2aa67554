"""
The start of ``artpack``: until its command is loaded, a signal ends it at once.

Nothing is imported at the top that takes time. Most of the first second goes into imports,
and out of them an exception comes as anything: as another one, in another place, or never.
"""

import sys

EXIT_INTERRUPTED = 130
INTERRUPTED = "artpack: interrupted; nothing was written\n"

try:
    import os
    from signal import SIG_DFL
    from types import FrameType

    from .signals import handle
except KeyboardInterrupt:
    sys.stderr.write(INTERRUPTED)
    sys.exit(EXIT_INTERRUPTED)


def main() -> None:
    """Load the command that is asked for, and run it."""
    handle(_leave)
    from .main import load
    from .main import main as run

    load(sys.argv[1:])
    # The command handles signals itself; when it is over, Python has only to clear up.
    handle(SIG_DFL)
    run()


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, INTERRUPTED.encode())
    os._exit(EXIT_INTERRUPTED)
