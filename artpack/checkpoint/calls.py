"""
The calls in a pickle of ``torch.save``, found out by reading it.

``torch.load(weights_only=True)`` runs no code of the file. Among what it does call are
types that make as many bytes, or count as many elements, as a small file asks them to:
``bytearray(10**12)``, or the set of a tensor with a stride of 0. So the pickle is walked
first, opcode by opcode, and only calls that build what the file holds are let through.

Source: Python's ``pickletools``; PyTorch's ``torch._weights_only_unpickler``.
"""

import pickletools
import re
from collections.abc import Callable
from typing import Any, BinaryIO

from artpack.errors import CheckpointError

_REBUILDS = frozenset(
    f"torch._utils _rebuild_{name}"
    for name in (
        "parameter",
        "parameter_with_state",
        "qtensor",
        "tensor",
        "tensor_v2",
        "tensor_v3",
        "sparse_tensor",
        "meta_tensor_no_storage",
        "nested_tensor",
        "wrapper_subclass",
    )
)
_ENCODE = "_codecs encode"
"""How bytes are pickled; of bytes it may double them, and again."""

_FROM_TYPE = "torch._tensor _rebuild_from_type_v2"
_BUILDERS = _REBUILDS | {
    "torch.nn.parameter Parameter",
    "torch device",
    "torch.serialization _get_layout",
    "builtins complex",
    "__builtin__ complex",
}
_COLLECTIONS = frozenset(
    {
        "collections OrderedDict",
        "collections Counter",
        "torch Size",
        "builtins set",
        "__builtin__ set",
        "builtins bytearray",
        "__builtin__ bytearray",
    }
)
_SIZED = (str, bytes, list, tuple, dict, set)
_EMPTY: dict[str, Callable[[], object]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
}
_PUTS = frozenset({"BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"BINGET", "LONG_BINGET"})
_LETTERS = {
    "EMPTY_LIST": "L",
    "MARK": "(",
    "APPEND": "a",
    "APPENDS": ")",
    "STOP": ".",
    **dict.fromkeys(("BINUNICODE", "SHORT_BINSTRING", "BINSTRING"), "t"),
    **dict.fromkeys(("PROTO", *_PUTS), ""),
}
_TEXTS = re.compile(r"L(?:ta|\(t*\))*\.")
"""A list of text, a letter for each opcode: nothing is put aside, and nothing is taken back."""

_STORAGE_KEY = 2
"""Place of the key in what a pickle says of a storage."""

_MARK = object()


class _Global(str):
    """A name that the pickle imports."""

    __slots__ = ()


def check_calls(pickled: bytes | BinaryIO) -> set[object]:
    """
    Walk one pickle.

    Args:
        pickled: The bytes, or a file at the pickle's beginning; left behind its end.

    Returns:
        Keys of the storages that it asks for.

    Raises:
        CheckpointError: It calls what could take more than the file holds.
        ValueError: It is damaged.

    """
    stack: list[Any] = []
    memo: dict[object, Any] = {}
    storages: set[object] = set()
    try:
        for opcode, value, _ in pickletools.genops(pickled):
            if opcode.name == "BINPERSID":
                storages.add(stack[-1][_STORAGE_KEY])
            _step(opcode, value, stack, memo)
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError("a pickle that takes what is not there") from error
    return storages


def read_keys(pickled: BinaryIO) -> set[str]:
    """
    Read the keys of the storages that a file from before the zip format holds.

    Args:
        pickled: The file at the beginning of their pickle; left behind its end.

    Returns:
        The keys.

    Raises:
        ValueError: It is damaged, or more than a list of text.

    """
    steps = [(opcode.name, value) for opcode, value, _ in pickletools.genops(pickled)]
    if not _TEXTS.fullmatch("".join(_LETTERS.get(name, "?") for name, _ in steps)):
        raise ValueError("storages that are no list of text")
    return {value for _, value in steps if isinstance(value, str)}


def _step(
    opcode: pickletools.OpcodeInfo, value: Any, stack: list[Any], memo: dict[object, Any]
) -> None:
    """Do to a stack what an opcode does, with None for what is not followed."""
    name = opcode.name
    if name in _PUTS:
        memo[value] = stack[-1]
    elif name in _GETS:
        stack.append(memo[value])
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name == "MARK":
        stack.append(_MARK)
    elif name == "GLOBAL":
        stack.append(_Global(value))
    elif name in {"REDUCE", "NEWOBJ"}:
        arguments, called = stack.pop(), stack.pop()
        _check_call(called, arguments)
        stack.append(b"" if called == _ENCODE else None)
    else:
        _step_plainly(opcode, value, stack)


def _step_plainly(opcode: pickletools.OpcodeInfo, value: Any, stack: list[Any]) -> None:
    """Take off what an opcode takes, and put on what it makes: a tuple, an atom, or the same."""
    taken: list[Any] = []
    before = opcode.stack_before
    if pickletools.markobject in before:
        while (item := stack.pop()) is not _MARK:
            taken.append(item)
        taken.reverse()
        before = before[: before.index(pickletools.markobject)]
    under = [stack.pop() for _ in before][::-1]
    if opcode.name.startswith("TUPLE"):
        stack.append(tuple(taken or under))
    elif under and opcode.stack_after:
        stack.append(under[0] if opcode.name != "BINPERSID" else None)
    elif opcode.stack_after:
        stack.append(value)


def _check_call(called: object, arguments: object) -> None:
    given = arguments if isinstance(arguments, tuple) else (None,)
    if not isinstance(called, _Global):
        raise CheckpointError("calls what is no name, and nothing but tensors is loaded")
    if called in _COLLECTIONS:
        fits = all(isinstance(item, _SIZED) for item in given)
    elif called == _FROM_TYPE:
        fits = bool(given) and isinstance(given[0], _Global) and given[0] in _REBUILDS
    elif called == _ENCODE:
        fits = bool(given) and isinstance(given[0], str)
    else:  # torch itself refuses what is not its own
        fits = called in _BUILDERS or not called.startswith("torch")
    if not fits:
        raise CheckpointError(
            f"wants {called.replace(' ', '.')}, and nothing but tensors is loaded; "
            "save the weights alone: torch.save(model.state_dict(), ...)"
        )
