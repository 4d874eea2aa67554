"""A flag for signals to stop, for work that can rest and go on again."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What the user's keyboard sends, what supervisors send, and what a lost terminal sends."""


@contextmanager
def stop_flag() -> Iterator[threading.Event]:
    """
    Turn signals to stop into a flag.

    Signals that are ignored stay so, as ``nohup`` wants it.

    Yields:
        What is set when a signal has come. Only the main thread of a program may have
        signals; in any other, it is never set.

    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    kinds = [kind for kind in STOPPING if signal.getsignal(kind) is not signal.SIG_IGN]
    before = [signal.signal(kind, lambda *_: flag.set()) for kind in kinds]
    try:
        yield flag
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
