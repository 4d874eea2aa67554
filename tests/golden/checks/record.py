"""JSON objects that know which of their values somebody has read."""

from collections.abc import Iterator
from typing import Any


class Record(dict[str, Any]):
    """
    A JSON object that keeps account of what was read of it.

    Objects in it are records too, also those in lists. Reading or comparing a value counts;
    looking at names, and copying, do not.

    Args:
        values: The object.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__({name: _recorded(value) for name, value in values.items()})
        self._unread = set(values)

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        self._unread.discard(name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value that may be missing."""
        if name not in self:
            return default
        return self[name]

    def items(self) -> Any:
        """Return names and values, all of which count as read."""
        self._unread.clear()
        return super().items()

    def values(self) -> Any:
        """Return all values, which count as read."""
        self._unread.clear()
        return super().values()

    def __eq__(self, other: object) -> bool:
        self._unread.clear()
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def peek(self, name: str) -> Any:
        """Return a value that something else will check."""
        return super().__getitem__(name)

    def unread(self) -> Iterator[tuple[str, Any]]:
        """Yield paths, as in ``args.rank``, and values of all that nobody has read."""
        for name in self:
            value = self.peek(name)
            if _objects(value):
                yield from _unread(f"{name}.", value)
            elif name in self._unread:
                yield name, value


def _recorded(value: Any) -> Any:
    if isinstance(value, dict):
        return Record(value)
    return [_recorded(item) for item in value] if isinstance(value, list) else value


def _objects(value: Any) -> list[Any]:
    """Return the objects that a value is or holds; one without names counts as a value."""
    if isinstance(value, list):
        return [found for item in value for found in _objects(item)]
    return [value] if isinstance(value, Record) and value else []


def _unread(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Record):
        for path, item in value.unread():
            yield f"{prefix}{path}", item
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unread(f"{prefix}{index}.", item)
