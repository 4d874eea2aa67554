"""One line for each thing compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class Report:
    """Prints comparisons and counts what failed."""

    def __init__(self) -> None:
        self.compared = self.failures = self.raised = 0

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Report what a check raises, so that the next one runs all the same."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self.raised += 1
            self.fail(what, f"{type(error).__name__}: {error}")

    def close(self, what: str, got: Any, want: Any, tolerance: float) -> None:
        """Compare numbers; the largest absolute difference counts."""
        got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
        if got.shape != want.shape:
            self.fail(what, f"shape {got.shape}, not {want.shape}")
            return
        worst = float(np.abs(got - want).max(initial=0.0))
        # Written so that NaN fails.
        outcome = f"largest difference {worst:.2e}, tolerance {tolerance:.3g}"
        self.line(what, outcome, passed=worst <= tolerance)

    def relative(self, what: str, got: Any, want: Any, tolerance: float) -> None:
        """Compare numbers, each relative to the one that is wanted."""
        got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
        if got.shape == want.shape:
            got, want = got / want, np.ones_like(want)
        self.close(f"{what}, relative", got, want, tolerance)

    def exact(self, what: str, got: Any, want: Any) -> None:
        """Compare anything that must be equal."""
        same = bool(got == want)
        outcome = "exact" if same else f"{_short(got)}, not {_short(want)}"
        self.line(what, outcome, passed=same)

    def exact_arrays(self, what: str, got: Any, want: Any) -> None:
        """Compare arrays that must be equal; of a matrix only the first rows may be stored."""
        got, want = np.asarray(got), np.asarray(want)
        if (rows := stored_rows(got, want)) is not None:
            got, what = got[:rows], f"{what} (the first {rows} of {len(got)} rows)"
        if got.shape != want.shape:
            self.fail(what, f"shape {got.shape}, not {want.shape}")
            return
        wrong = int(np.count_nonzero(got != want))
        self.line(what, f"{wrong} of {want.size} entries differ, tolerance 0", passed=wrong == 0)

    def fail(self, what: str, why: str) -> None:
        """Say what is wrong beyond numbers."""
        self.line(what, why, passed=False)

    def indicative(self, what: str, why: str) -> None:
        """Say what cannot be compared, and why."""
        print(f"--    {what}: not compared: {why}")

    def summary(self) -> str:
        """Return the last line."""
        return f"{self.compared - self.failures} passed, {self.failures} failed"

    def line(self, what: str, outcome: str, *, passed: bool) -> None:
        """Say how a comparison of any kind came out."""
        self.compared += 1
        self.failures += not passed
        print(f"{'ok  ' if passed else 'FAIL'}  {what}: {outcome}")


def stored_rows(got: Any, want: Any) -> int | None:
    """Return how many rows are stored of a matrix, None for all."""
    matrices = got.ndim == want.ndim >= 2 and got.shape[1:] == want.shape[1:]
    return len(want) if matrices and 0 < len(want) < len(got) else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
