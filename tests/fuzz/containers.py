"""The files of published systems: damaged, and with other content behind right wrappings."""

import shutil
from functools import cache, partial
from random import Random
from typing import Any
from unittest.mock import patch

from artpack.interop import FORMATS, Container, read_container
from artpack.interop.pr2086 import payloads, per_stream
from artpack.interop.wrapping import Allowance, unwrap
from tests.fuzz.mutate import change_bytes, change_tree
from tests.fuzz.target import MIB, FaultError, Target, digest
from tests.interop.test_hostile import WRAP, edited, written

DECODED_BYTES = 4 * MIB


def read(data: bytes) -> str:
    """Read a container, and turn what is in it into weights."""
    container = read_container(data, max_bytes=DECODED_BYTES)
    return _digest(container)


def _digest(container: Container) -> str:
    weights = {}
    for tensor in container.tensors:
        weights[tensor.name] = tensor.quantizer.dequantize(tensor.quantized)
        if tuple(weights[tensor.name].shape) != tensor.quantized.shape:
            raise FaultError(f"{tensor.name!r} is {list(weights[tensor.name].shape)}")
    kinds = [(tensor.dtype, repr(tensor.quantizer)) for tensor in container.tensors]
    return digest(weights) + repr((container.format, container.banked, kinds))


def _make(name: str) -> list[bytes]:
    # The largest preset of xz clears half a gigabyte for every payload.
    with patch.object(payloads, "PRESET", 0), patch.object(per_stream, "PRESET", 0):
        return [written(name)]


@cache
def _archive(name: str) -> bytes:
    return unwrap(written(name), Allowance(1 << 30))


def _change(name: str, draw: Random, data: bytes) -> bytes:
    way = draw.random()
    if way < 0.3:
        return change_bytes(draw, data)
    if way < 0.5:
        if name in WRAP:
            return WRAP[name](change_bytes(draw, _archive(name)))
        return edited(name, partial(_change_stream, draw), outer=True)
    return edited(name, partial(change_tree, draw))


def _change_stream(draw: Random, streams: list[Any]) -> None:
    at = draw.randrange(len(streams))
    if isinstance(streams[at], bytes):
        streams[at] = change_bytes(draw, streams[at])
    else:
        method, body = streams[at]
        streams[at] = draw.choice((method, draw.randrange(8))), change_bytes(draw, body)


def _runs(name: str) -> bool:
    return name != "pergroup" or bool(shutil.which("lrzip") and shutil.which("prlimit"))


TARGETS = tuple(
    Target(f"container-{name}", partial(_make, name), partial(_change, name), read)
    for name in FORMATS
    if _runs(name)
)
