"""Changes of bytes and of trees: dicts, lists, numbers, text, tensors."""

import copy
from collections.abc import Callable
from random import Random
from typing import Any, Literal

import torch
from torch import Tensor

INTEGERS = (
    *(0, 1, -1, 2, 7, 8, 127, 128, 255, 256, 65535, 65536, 1 << 20),
    *((1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 62) + 1),
    *((1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, -(1 << 31), -(1 << 63)),
)
FLOATS = (0.0, -0.0, 1.0, 0.5, -1.5, 5e-324, 1e38, 1e308, float("inf"), float("nan"))
TEXTS = ("", "a", "none", "id", "\x00", "é", "..", "/", "a" * 300, "(a+)+$", "0" * 40, "nan")
OTHERS: tuple[Any, ...] = (
    *(None, True, False, [], {}, "", 0, b"", b"\x00" * 8, [[]], {"id": "rows"}),
    *([1 << 40, 0], [0, 1 << 40], [1 << 31, 1 << 31], (1 << 20, 0)),
)
DTYPES = (torch.uint8, torch.int8, torch.int64, torch.float16, torch.float32, torch.bool)
MAX_EDITS = 4


def edits(draw: Random) -> int:
    """Draw how often something is changed; once more often than not."""
    return 1 if draw.random() < 0.6 else draw.randint(2, MAX_EDITS)


def change_bytes(draw: Random, data: bytes) -> bytes:
    """Flip bits, put in other numbers, cut, repeat, swap and insert."""
    changed = bytearray(data)
    for _ in range(edits(draw)):
        draw.choice(BYTE_EDITS)(draw, changed)
    return bytes(changed)


def _at(draw: Random, data: bytearray) -> int:
    """Draw a place; the front has it three times as often as its share."""
    size = max(1, len(data))
    return draw.randrange(min(size, 64) if draw.random() < 0.3 else size)


def _span(draw: Random, data: bytearray) -> slice:
    at = _at(draw, data)
    return slice(at, at + draw.choice((1, 2, 4, 8, draw.randint(1, 64))))


def _flip(draw: Random, data: bytearray) -> None:
    if data:
        data[_at(draw, data)] ^= 1 << draw.randrange(8)


def _set(draw: Random, data: bytearray) -> None:
    if data:
        data[_at(draw, data)] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))


def _number(draw: Random, data: bytearray) -> None:
    at, size = _at(draw, data), draw.choice((2, 4, 8))
    order: Literal["little", "big"] = "little" if draw.random() < 0.7 else "big"
    old = int.from_bytes(data[at : at + size], order)
    new = draw.choice((*INTEGERS, old + 1, old - 1, 2 * old, old + draw.randint(-99, 99)))
    data[at : at + size] = (new % (1 << 8 * size)).to_bytes(size, order)


def _cut(draw: Random, data: bytearray) -> None:
    del data[_span(draw, data)]


def _end(draw: Random, data: bytearray) -> None:
    del data[_at(draw, data) :]


def _repeat(draw: Random, data: bytearray) -> None:
    span = _span(draw, data)
    data[span.start : span.start] = bytes(data[span]) * draw.choice((1, 1, 2, 50))


def _move(draw: Random, data: bytearray) -> None:
    span = _span(draw, data)
    moved = bytes(data[span])
    at = _at(draw, data)
    data[at : at + len(moved)] = moved


def _insert(draw: Random, data: bytearray) -> None:
    at = draw.choice((_at(draw, data), len(data)))
    data[at:at] = draw.choice((b"\0", b"\xff", b"\0" * 8, draw.randbytes(draw.randint(1, 9))))


BYTE_EDITS: tuple[Callable[[Random, bytearray], None], ...] = (
    *(_flip, _flip, _set, _set, _number, _number),
    *(_cut, _end, _repeat, _move, _insert),
)


def change_tree(draw: Random, tree: Any) -> Any:
    """Return a tree with some of its nodes changed; the one given is changed, too."""
    for _ in range(edits(draw)):
        places = _walk(tree)
        container, key = draw.choice(places) if places else ([tree], 0)
        _change_at(draw, container, key, places)
    return tree


def _walk(tree: Any) -> list[tuple[Any, Any]]:
    """List where every node but the root lies: what holds it, and under which key."""
    found: list[tuple[Any, Any]] = []
    left = [tree]
    while left:
        holder = left.pop()
        if isinstance(holder, dict | list):
            keys = list(holder if isinstance(holder, dict) else range(len(holder)))
            found += [(holder, key) for key in keys]
            left += [holder[key] for key in keys]
    return found


def _change_at(draw: Random, holder: Any, key: Any, places: list[tuple[Any, Any]]) -> None:
    way = draw.random()
    if way < 0.1:
        del holder[key]
    elif way < 0.2:
        other, place = draw.choice(places) if places else (holder, key)
        if place in other if isinstance(other, dict) else place < len(other):
            holder[key] = copy.deepcopy(other[place])
    elif way < 0.3 and isinstance(holder, dict):
        holder[draw.choice((*TEXTS, f"{key}x"))] = holder[key]
    elif way < 0.3:
        holder.insert(key, copy.deepcopy(holder[key]))
    elif way < 0.34:
        holder[key] = _nested(draw, holder[key])
    else:
        holder[key] = _other(draw, holder[key])


def _nested(draw: Random, value: Any) -> Any:
    for _ in range(draw.choice((1, 2, 15, 16, 17, 40))):
        value = [value] if draw.random() < 0.7 else {"a": value}
    return value


def _other(draw: Random, value: Any) -> Any:
    if draw.random() < 0.15:
        return copy.deepcopy(draw.choice(OTHERS))
    if isinstance(value, bool):
        return draw.choice((not value, 1, "true"))
    if isinstance(value, int):
        near = (value + 1, value - 1, 2 * value, -value, float(value), value ^ 1)
        return draw.choice((*near, draw.choice(INTEGERS)))
    if isinstance(value, float):
        return draw.choice((*FLOATS, -value, 2 * value, value / 3))
    return _other_content(draw, value)


def _other_content(draw: Random, value: Any) -> Any:
    if isinstance(value, str):
        return draw.choice((*TEXTS, value + "x", value[:-1], value.upper(), value * 2))
    if isinstance(value, bytes):
        return change_bytes(draw, value)
    if isinstance(value, list):
        return draw.choice((value[::-1], value[:-1], value * 2, value[:1] * 300))
    if isinstance(value, Tensor):
        return _other_tensor(draw, value)
    return copy.deepcopy(draw.choice(OTHERS))


def _other_tensor(draw: Random, tensor: Tensor) -> Tensor:
    ways: tuple[Callable[[], Tensor], ...] = (
        lambda: tensor.to(draw.choice(DTYPES)),
        lambda: tensor.reshape(-1),
        lambda: tensor[None],
        tensor.reshape(-1)[: draw.randint(0, 8)].clone,
        lambda: tensor.T.contiguous() if tensor.ndim == 2 else tensor.reshape(1, -1),
        lambda: tensor.reshape(-1)[:1].repeat(draw.choice((0, 3, 1 << 16))),
        lambda: tensor.new_empty(draw.choice(((1 << 40, 0), (0, 1 << 40), (0, 1 << 31, 1 << 31)))),
        lambda: _with_extremes(draw, tensor),
        lambda: _with_extremes(draw, tensor),
    )
    return draw.choice(ways)()


def _with_extremes(draw: Random, tensor: Tensor) -> Tensor:
    changed = tensor.reshape(-1).clone()
    if not changed.numel():
        return changed
    raw = changed.view(torch.uint8)
    for _ in range(draw.randint(1, 3)):
        raw[draw.randrange(len(raw))] = draw.choice((0, 1, 127, 128, 255))
    return changed.reshape(tensor.shape)
