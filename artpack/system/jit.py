"""Functions compiled to machine code, which is kept on disk where there is a place for it."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache, update_wrapper
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_LOCK = RLock()
"""Held while numba gets functions: one that is called too early would meet others that it lacks."""


def jit(**options: Any) -> Callable[[F], F]:
    """
    Compile a function when it is first called; numba is not imported before.

    Machine code is kept beside the source, or in the user's cache folder, or where
    ``NUMBA_CACHE_DIR`` says. Where none of them can be written to, as with a read-only
    installation and no home, each process compiles for itself: a cache in a folder that is
    open to all would have to be trusted.

    Args:
        **options: Of :func:`numba.njit`.

    Returns:
        A decorator.

    """

    def late(function: F) -> F:
        return cast("F", _Late(function, options))

    return late


def portable(by: Callable[..., Any] | None) -> Callable[[F], F]:
    """
    Say what stands for a function where there is numpy alone: see :mod:`artpack.portable`.

    Here it changes nothing.

    Args:
        by: Does the same without compiled code. None for a check that may be left out: what
            it would find is found all the same, if with other words.

    Returns:
        A decorator.

    """
    del by
    return lambda function: function


def cache_folder() -> str | None:
    """
    Say where machine code is kept.

    Returns:
        The folder; None where there is no place, and each process compiles for itself.

    """
    from numba.core.caching import FunctionCache  # noqa: PLC0415 - takes most of a second

    try:
        folder: str = FunctionCache(_stamp).cache_path  # type: ignore[no-untyped-call]
    except RuntimeError:
        return None
    return folder


class _Late:
    """A function that numba gets to see when it is called, and with it those that it calls."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self._function, self._options = function, options
        self._compiled: Callable[..., Any] | None = None
        self._made: Callable[..., Any] | None = None
        update_wrapper(self, function)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        compiled = self._compiled or self.compiled()
        return compiled(*arguments, **named)

    def compiled(self) -> Callable[..., Any]:
        """Return numba's function; only such may stand where other ones look for it."""
        if self._compiled is None:
            with _LOCK:
                self._compiled = self._prepared()
        return self._compiled

    def _prepared(self) -> Callable[..., Any]:
        """Make numba's function, and replace all of its file at once: other threads may call."""
        if self._made is None:
            self._made = _compile(self._function, self._options)
            home: dict[str, Any] = self._function.__globals__
            late = {name: one for name, one in list(home.items()) if isinstance(one, _Late)}
            home.update({name: one._prepared() for name, one in late.items()})  # noqa: SLF001
        return self._made


def _compile(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    from numba import njit  # noqa: PLC0415 - takes most of a second
    from numba.core.dispatcher import Dispatcher  # noqa: PLC0415

    made: Callable[..., Any] = njit(**options)(function)
    if isinstance(made, Dispatcher):  # NUMBA_DISABLE_JIT gives the function itself
        with suppress(RuntimeError):  # "cannot cache function": there is no place for it
            made._cache = _cache_class()(function)  # type: ignore[attr-defined] # noqa: SLF001
    return made


@cache
def _cache_class() -> Any:
    from numba.core.caching import FunctionCache  # noqa: PLC0415

    class Cache(FunctionCache):
        """A cache of numba's that heeds a whole folder, and without which everything works."""

        def __init__(self, function: Any) -> None:
            super().__init__(function)  # type: ignore[no-untyped-call]
            # Kernels call those of other files of their folder, and use constants from there.
            self._cache_file._source_stamp = _stamp(function)  # noqa: SLF001

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            with suppress(OSError, EOFError):
                return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
            return None

        def save_overload(self, sig: Any, data: Any) -> None:
            with suppress(OSError, EOFError):
                super().save_overload(sig, data)  # type: ignore[no-untyped-call]

    return Cache


def _stamp(function: Callable[..., Any]) -> list[tuple[str, float, int]]:
    """Return what changes when a source file in a function's folder does."""
    folder = Path(function.__code__.co_filename).parent
    found = [(path.name, path.stat()) for path in sorted(folder.glob("*.py"))]
    return [(name, known.st_mtime, known.st_size) for name, known in found]
