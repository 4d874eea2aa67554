"""Signals that ask a program to stop. Nothing is imported here that takes time."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What the user's keyboard sends, what supervisors send, and what a lost terminal sends."""

Handler = Callable[[int, FrameType | None], None] | signal.Handlers


def handle(handler: Handler) -> None:
    """Have signals to stop handled; those that are ignored stay so, as nohup wants it."""
    for kind in STOPPING:
        if signal.getsignal(kind) is not signal.SIG_IGN:
            signal.signal(kind, handler)


@contextmanager
def interrupting() -> Iterator[None]:
    """Let every signal to stop raise ``KeyboardInterrupt``, where threads may have signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.getsignal(kind) for kind in STOPPING]
    handle(_interrupt)
    try:
        yield
    finally:
        for kind, old in zip(STOPPING, before, strict=True):
            signal.signal(kind, old)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
