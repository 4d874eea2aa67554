"""Typed reads of what CBOR decoded to: each either has the promised type or is named as a lie."""

from collections.abc import Iterable
from typing import Any, cast

import cbor2

from artpack.errors import CorruptError
from artpack.stages import Config, JsonValue

MAX_DEPTH = 16
MAX_UINT = (1 << 63) - 1

# Tags that cbor2 would turn into dates, patterns, big integers and so on. The format has
# no tags, so meeting any of them is an error before anything is built from it.
_KNOWN_TAGS = frozenset(
    {0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004}
    | {43000, 55799}
)


def encode_cbor(value: Config) -> bytes:
    """
    Write a map in the core deterministic encoding of RFC 8949.

    Args:
        value: JSON-like values; byte strings are allowed too.

    Returns:
        The encoding; equal maps give equal bytes whatever the order of their keys.

    >>> encode_cbor({"b": 1, "a": [True, None, 0.5]}).hex(" ")
    'a2 61 61 83 f5 f6 f9 38 00 61 62 01'

    """
    return cbor2.dumps(value, canonical=True)


def decode_cbor(data: bytes) -> dict[str, Any]:
    """
    Read a map that :func:`encode_cbor` wrote, and nothing else.

    Args:
        data: Bytes from a stranger.

    Returns:
        The map.

    Raises:
        CorruptError: The bytes are not one deterministically encoded, untagged map.

    """
    try:
        value = cbor2.loads(
            data,
            tag_hook=_refuse_tag,
            semantic_decoders=dict.fromkeys(_KNOWN_TAGS, _refuse_tag),
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
        again = encode_cbor(value)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, MemoryError, EOFError) as error:
        raise CorruptError(f"the header is not valid CBOR: {error}") from error
    if again != data:
        raise CorruptError("the header is not in the deterministic encoding")
    return as_map(value, "header")


def _refuse_tag(*_: object) -> None:
    raise CorruptError("the header has a CBOR tag; the format has none")


def as_map(value: object, where: str, keys: Iterable[str] = ()) -> dict[str, Any]:
    """
    Check that a value is a map with text keys.

    Args:
        value: The decoded value.
        where: What to call it in the message.
        keys: The exact keys wanted; none means any.

    Returns:
        The value.

    Raises:
        CorruptError: It is not.

    """
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise CorruptError(f"{where} is not a map with text keys")
    wanted = set(keys)
    if wanted and set(value) != wanted:
        odd = sorted(wanted.symmetric_difference(value))
        raise CorruptError(f"{where} has missing or unknown keys: {', '.join(odd)}")
    return value


def as_list(value: object, where: str, *, length: int | None = None) -> list[Any]:
    """
    Check that a value is an array.

    Args:
        value: The decoded value.
        where: What to call it in the message.
        length: The length it must have, if that is known.

    Returns:
        The value.

    Raises:
        CorruptError: It is not an array, or not of that length.

    """
    if not isinstance(value, list):
        raise CorruptError(f"{where} is not an array")
    if length is not None and len(value) != length:
        raise CorruptError(f"{where} has {len(value)} entries, {length} expected")
    return value


def as_text(value: object, where: str) -> str:
    """
    Check that a value is text.

    Args:
        value: The decoded value.
        where: What to call it in the message.

    Returns:
        The value.

    Raises:
        CorruptError: It is not.

    """
    if not isinstance(value, str):
        raise CorruptError(f"{where} is not text")
    return value


def as_uint(value: object, where: str, *, below: int = MAX_UINT) -> int:
    """
    Check that a value is an unsigned integer below a limit.

    Args:
        value: The decoded value.
        where: What to call it in the message.
        below: The first integer that is too large.

    Returns:
        The value.

    Raises:
        CorruptError: It is not.

    """
    if type(value) is not int or not 0 <= value < below:
        raise CorruptError(f"{where} is not an integer in [0, {below})")
    return value


def as_digests(value: object, where: str, *, count: int, size: int) -> list[bytes]:
    """
    Cut a byte string into digests.

    Args:
        value: The decoded value.
        where: What to call it in the message.
        count: How many digests there must be.
        size: Bytes of each.

    Returns:
        The digests.

    Raises:
        CorruptError: It is not a byte string of ``count * size`` bytes.

    """
    if not isinstance(value, bytes) or len(value) != count * size:
        raise CorruptError(f"{where} is not {count} digests of {size} bytes")
    return [value[at : at + size] for at in range(0, len(value), size)]


def as_json(value: object, where: str, *, deepest: int = MAX_DEPTH - 1) -> JsonValue:
    """
    Check that a value could have come from JSON: no byte strings, no other types.

    Args:
        value: The decoded value.
        where: What to call it in the message.
        deepest: How many maps and arrays may be within each other, this one counted; cbor2
            lets an empty one more pass.

    Returns:
        The value.

    Raises:
        CorruptError: It holds something else.

    """
    if isinstance(value, dict | list) and not deepest:
        raise CorruptError(f"{where} is nested too deep")
    if isinstance(value, dict):
        items = as_map(value, where).items()
        return {key: as_json(item, where, deepest=deepest - 1) for key, item in items}
    if isinstance(value, list):
        return [as_json(item, where, deepest=deepest - 1) for item in value]
    if value is not None and not isinstance(value, bool | int | float | str):
        raise CorruptError(f"{where} holds a {type(value).__name__}")
    return cast("JsonValue", value)
