"""Another system's constructor arguments, read one by one and all accounted for."""

from collections.abc import Mapping
from typing import TypeVar

from artpack.errors import UsageError
from artpack.models.mechanisms import Bigram, Ntk, Rope, ValueEmbedding
from artpack.stages import JsonValue, nearest

Choice = TypeVar("Choice")

NTK_REFERENCE_TOKENS = 1024
"""Hard-coded in PR 576 and PR 826, whatever the training window."""


class Arguments:
    """
    Reads arguments by name and type; at the end, every one must have been read.

    Args:
        system: Whose arguments they are, for messages.
        values: Argument name to value.
    """

    def __init__(self, system: str, values: JsonValue) -> None:
        if not isinstance(values, dict):
            raise UsageError(f"{system}: the constructor arguments must be an object")
        self._system, self._values = system, values
        self._unread = set(values)

    def integer(self, name: str) -> int:
        """Return a whole number."""
        value = self._take(name)
        if type(value) is not int:
            raise self._fault(name, "a whole number", value)
        return value

    def number(self, name: str) -> float:
        """Return a number."""
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._fault(name, "a number", value)
        return float(value)

    def flag(self, name: str) -> bool:
        """Return true or false; systems write 1 and 0 too."""
        value = self._take(name)
        if not isinstance(value, bool | int) or value not in (0, 1):
            raise self._fault(name, "true or false", value)
        return bool(value)

    def text(self, name: str) -> str:
        """Return a word."""
        value = self._take(name)
        if not isinstance(value, str):
            raise self._fault(name, "text", value)
        return value

    def layers(self, name: str) -> tuple[int, ...]:
        """Return layer numbers, from a list or from text with commas."""
        value = self._take(name)
        parts = value.replace(",", " ").split() if isinstance(value, str) else value
        try:
            return tuple(int(str(part)) for part in parts or ())  # type: ignore[union-attr]
        except (TypeError, ValueError):
            raise self._fault(name, "layer numbers", value) from None

    def choice(self, name: str, choices: Mapping[str, Choice]) -> Choice:
        """Return what a word stands for."""
        value = self._take(name)
        if not isinstance(value, str) or value not in choices:
            remedy = nearest(str(value), choices)
            raise UsageError(f"{self._system}: no mechanism for {name} {value!r}{remedy}")
        return choices[value]

    def require(self, name: str, value: JsonValue) -> None:
        """Refuse any other value: this family has no mechanism for it."""
        given = self._take(name)
        if given != value:
            raise UsageError(f"{self._system}: {name} {given!r} is not supported, only {value!r}")

    def ignore(self, *names: str) -> None:
        """Leave out arguments that do not change what the model computes."""
        self._unread -= set(names)

    def finish(self) -> None:
        """Refuse arguments that nothing has read."""
        if self._unread:
            names = ", ".join(sorted(self._unread))
            raise UsageError(f"{self._system}: unknown constructor arguments {names}")

    def _take(self, name: str) -> JsonValue:
        if name not in self._values:
            raise UsageError(f"{self._system}: the constructor argument {name!r} is missing")
        self._unread.discard(name)
        return self._values[name]

    def _fault(self, name: str, wanted: str, value: JsonValue) -> UsageError:
        return UsageError(f"{self._system}: {name} must be {wanted}, got {value!r}")


def ignore_training(args: Arguments, *more: str) -> None:
    """Leave out what only training reads."""
    args.ignore("tied_embed_init_std", "qk_gain_init", *more)


def read_bigram(args: Arguments, rows_name: str, model_dim: int) -> Bigram | None:
    """Return the hashed bigram embedding, None where it has no rows."""
    rows, dim = args.integer(rows_name), args.integer("bigram_dim")
    return Bigram(rows, dim, projected=dim != model_dim) if rows else None


def read_value_embedding(args: Arguments, kv_dim: int) -> ValueEmbedding | None:
    """Return the value embedding, None where it is off."""
    enabled, dim, layers = args.flag("ve_enabled"), args.integer("ve_dim"), args.layers("ve_layers")
    return ValueEmbedding(dim, layers, projected=dim != kv_dim) if enabled and layers else None


def read_widths(args: Arguments) -> tuple[int, int, int]:
    """Return the channels of the stream, of a head, and of all values of a token."""
    dim, heads, kv_heads = (args.integer(n) for n in ("model_dim", "num_heads", "num_kv_heads"))
    if heads < 1 or dim % heads:
        raise UsageError(f"num_heads {heads} does not divide {dim}")
    return dim, dim // heads, dim // heads * kv_heads


def read_ntk_rope(args: Arguments, head_dim: int, reference_tokens: int) -> Rope:
    """Return RoPE whose base follows the length of the input."""
    dims = args.integer("rope_dims") or head_dim
    return Rope(args.number("rope_base"), dims, ntk=Ntk(reference_tokens))
