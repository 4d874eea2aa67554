"""Functions compiled to machine code, which is kept on disk where there is a place for it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

F = TypeVar("F", bound=Callable[..., Any])


def jit(**options: Any) -> Callable[[F], F]:
    """
    Compile a function when it is first called.

    Machine code is kept beside the source, or in the user's cache folder, or where
    ``NUMBA_CACHE_DIR`` says. Where none of them can be written to, as with a read-only
    installation and no home, each process compiles for itself: a cache in a folder that is
    open to all would have to be trusted.

    Args:
        **options: Of :func:`numba.njit`.

    Returns:
        A decorator.

    """

    def compile_(function: F) -> F:
        made: Any = njit(**options)(function)
        if isinstance(made, Dispatcher):  # NUMBA_DISABLE_JIT gives the function itself
            with suppress(RuntimeError):  # "cannot cache function": there is no place for it
                made._cache = _Cache(function)  # type: ignore[attr-defined,no-untyped-call] # noqa: SLF001
        return cast("F", made)

    return compile_


class _Cache(FunctionCache):
    """A cache of numba's, without which everything works as well."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(OSError, EOFError):
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError, EOFError):
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
