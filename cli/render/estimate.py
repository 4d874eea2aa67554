"""Numbers that are estimates, in words."""

from collections.abc import Mapping


def estimate(number: Mapping[str, float | None], style: str) -> str:
    """Return a number and how sure it is."""
    value, stderr = number["value"], number["stderr"]
    error = (
        "no error: fewer than two documents" if stderr is None else f"{stderr:{style.lstrip('+')}}"
    )
    return f"{value:{style}} ± {error}"
