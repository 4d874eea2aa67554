"""Keys and values of earlier tokens, so that the next token needs one position's work."""

from torch import Tensor


class KvCache:
    """
    What attention has seen, for each visit of a layer.

    Args:
        window_tokens: Room for so many tokens.
    """

    def __init__(self, window_tokens: int) -> None:
        self._window_tokens = window_tokens
        self._visits: list[tuple[Tensor, Tensor]] = []
        self._visit = 0
        self.tokens = 0

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """
        Add one visit's new keys and values to its old ones.

        Args:
            keys: (B, 1, heads, channels).
            values: Likewise.

        Returns:
            All keys and all values so far, the new ones last.

        """
        if self._visit == len(self._visits):
            room = (keys.size(0), self._window_tokens, *keys.shape[2:])
            self._visits.append((keys.new_empty(room), values.new_empty(room)))
        old_keys, old_values = self._visits[self._visit]
        old_keys[:, self.tokens] = keys[:, 0]
        old_values[:, self.tokens] = values[:, 0]
        self._visit += 1
        seen = slice(self.tokens + 1)
        return old_keys[:, seen], old_values[:, seen]

    def advance(self) -> None:
        """Go on to the next token."""
        self._visit = 0
        self.tokens += 1
