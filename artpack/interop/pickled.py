"""
The effects of a pickle inside a ``torch.save`` archive, found out by reading it.

``torch.load(weights_only=True)`` runs no code of the archive, but it still lets a
pickle allocate (``bytearray(10**12)``), and older releases believe a tensor that
claims more bytes than its record has. So before torch sees it, the pickle is walked,
opcode by opcode: only those that :func:`torch.save` writes for plain tensors in plain
containers may be there, and every storage is listed with the size that it claims.

Source: Python's ``pickletools`` and PyTorch's ``torch.serialization``, protocol 2.
"""

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from artpack.errors import CorruptError

STORAGES = MappingProxyType(
    {
        "torch ByteStorage": 1,
        "torch CharStorage": 1,
        "torch BoolStorage": 1,
        "torch ShortStorage": 2,
        "torch HalfStorage": 2,
        "torch BFloat16Storage": 2,
        "torch IntStorage": 4,
        "torch FloatStorage": 4,
        "torch LongStorage": 8,
        "torch DoubleStorage": 8,
        "torch.storage UntypedStorage": 1,
    }
)
"""Bytes an element, by the name in the pickle."""

GLOBALS = frozenset(
    {
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",
        "torch float8_e4m3fn",
        "collections OrderedDict",
        *STORAGES,
    }
)

_ATOMS = frozenset({"BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"})
_PUTS = frozenset({"BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"BINGET", "LONG_BINGET"})
_OTHERS = frozenset(
    {"PROTO", "STOP", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
    | {"SETITEM", "SETITEMS", "APPEND", "APPENDS", "REDUCE", "NONE", "NEWTRUE", "NEWFALSE"}
    | {"BINFLOAT"}
)


@dataclass(frozen=True)
class _Global:
    name: str


def storage_sizes(pickled: bytes) -> dict[str, int]:
    """
    List the storages that a pickle asks for.

    Args:
        pickled: The record ``data.pkl`` of an archive.

    Returns:
        Key of the storage's record to its size in bytes.

    Raises:
        CorruptError: The pickle is damaged, or asks for anything but plain tensors
            in dicts, lists and tuples.

    >>> storage_sizes(bytes.fromhex("80027d2e"))
    {}

    """
    sizes: dict[str, int] = {}
    for key, size in _claims(pickled):
        if sizes.setdefault(key, size) != size:
            raise CorruptError(f"storage {key!r} is claimed with {sizes[key]} and {size} bytes")
    return sizes


def _claims(pickled: bytes) -> Iterator[tuple[str, int]]:
    """
    Give key and size of each persistent id.

    ``recent`` is what the opcodes since the last mark have pushed, with None for what
    is not followed. An id counts only if it is made of five atoms in a row, as
    ``torch.save`` makes it, so nothing can stand between what is read here and what
    the unpickler will find on its stack. Each mention of a storage's type must end in
    an id: called, it would allocate.
    """
    memo: dict[int, object] = {}
    recent: list[object] = []
    mentions = 0
    for name, value in _opcodes(pickled):
        if name == "MARK":
            recent = []
        elif name == "TUPLE":
            recent = [tuple(recent)]
        elif name == "BINPERSID":
            yield _claim(recent[-1] if recent else None)
            recent = [None]
            mentions -= 1
        elif name in _PUTS:
            atom = recent[-1] if recent else None
            memo[cast("int", value)] = None if isinstance(atom, tuple) else atom
        else:
            recent.append(memo.get(cast("int", value)) if name in _GETS else value)
            mentions += isinstance(recent[-1], _Global) and recent[-1].name in STORAGES
    if mentions:
        raise CorruptError("the archive's pickle has a storage's type where no storage is")


def _opcodes(pickled: bytes) -> Iterator[tuple[str, object]]:
    """Give name and argument of each opcode; the argument only where it is followed."""
    end = 0
    try:
        for opcode, value, position in pickletools.genops(pickled):
            name, end = opcode.name, position or 0
            if name == "GLOBAL":
                if value not in GLOBALS:
                    raise CorruptError(f"the archive wants {value}, and only tensors are loaded")
                yield name, _Global(str(value))
            elif name in _ATOMS or name in _PUTS or name in _GETS:
                yield name, value
            elif name in _OTHERS or name in {"MARK", "TUPLE", "BINPERSID"}:
                yield name, None
            else:
                raise CorruptError(f"the archive's pickle has the opcode {name}")
    except (ValueError, IndexError) as error:
        raise CorruptError(f"the archive's pickle is damaged: {error}") from error
    if end + 1 != len(pickled):
        raise CorruptError("bytes follow the end of the archive's pickle")


def _claim(found: object) -> tuple[str, int]:
    match found:
        case ("storage", _Global(kind), str(key), str(), int(count)) if (
            kind in STORAGES and 0 <= count < 1 << 48
        ):
            return key, count * STORAGES[kind]
    raise CorruptError("the archive's pickle has a storage of an unknown kind")
