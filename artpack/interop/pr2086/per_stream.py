"""
The per-stream container of PR 2086: metadata, and each large tensor a payload of its own.

::

    0x03 | u32 bytes of metadata | metadata | u32 number of payloads | the payloads
    payload: u8 method, 0 xz or 1 lrzip | u32 length | body

The metadata are ``torch.save`` of name to entry, in xz. Entries are five-level codes
in groups, fp8 or fp16; what is large in one lies in a payload, which a reference with
its number stands for. Integers are little-endian.

Source: parameter-golf pull request 2086.
"""

import struct
from collections.abc import Callable, Iterator

from artpack.coding.codecs import Lrzip
from artpack.errors import CorruptError, TruncatedError, UsageError
from artpack.interop.archive import read_archive, write_archive
from artpack.interop.container import Container
from artpack.interop.fields import as_dict
from artpack.interop.pr2086.payloads import PRESET, NewPayloads, Payloads
from artpack.interop.pr2086.stream_entries import read_entry, write_entry
from artpack.interop.wrapping import Allowance, decode_lrzip, decode_xz, encode_xz

NAME = "per-stream"
VERSION = b"\x03"
_U32 = struct.Struct("<I")
_PAYLOAD = struct.Struct("<BI")
XZ, LRZIP = 0, 1
METHODS: dict[int, Callable[[bytes, Allowance], bytes]] = {XZ: decode_xz, LRZIP: decode_lrzip}


def read(data: bytes, allowance: Allowance) -> Container:
    """
    Read a container.

    Args:
        data: The whole file.
        allowance: How much may be decoded.

    Returns:
        Its tensors, in the order of the metadata; the system casts all to bf16.

    Raises:
        ArtifactError: It is damaged, cut short or hostile.
        UsageError: A payload needs the program ``lrzip``, and it is missing.

    """
    metadata, bodies = split(data)
    entries = as_dict(read_archive(decode_xz(metadata, allowance)), "the metadata")
    payloads = Payloads([METHODS[method](body, allowance) for method, body in bodies])
    tensors = tuple(read_entry(name, entry, payloads) for name, entry in entries.items())
    payloads.check_all_used()
    return Container(NAME, tensors)


def split(data: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """
    Take a container apart.

    Args:
        data: The whole file.

    Returns:
        The metadata, and method and body of each payload, as they are.

    Raises:
        TruncatedError: The file ends early.
        CorruptError: A method is unknown, or something follows the last payload.

    """
    at = len(VERSION)

    def take(size: int) -> bytes:
        nonlocal at
        if len(data) - at < size:
            raise TruncatedError(f"{NAME}: {len(data) - at} bytes are left, {size} are wanted")
        at += size
        return data[at - size : at]

    metadata = take(*_U32.unpack(take(_U32.size)))
    bodies = []
    for number in range(*_U32.unpack(take(_U32.size))):
        method, size = _PAYLOAD.unpack(take(_PAYLOAD.size))
        if method not in METHODS:
            raise CorruptError(f"{NAME}: payload {number} has the unknown method {method}")
        bodies.append((method, take(size)))
    if at != len(data):
        raise CorruptError(f"{NAME}: {len(data) - at} bytes follow the last payload")
    return metadata, bodies


def write(container: Container) -> bytes:
    """
    Write a container.

    Args:
        container: Five-level groups with scales as deltas, fp8 and fp16.

    Returns:
        The whole file. Payloads are in lrzip where that program is there and does
        better than xz.

    Raises:
        UsageError: A tensor is in another grid.

    """
    payloads = NewPayloads()
    entries = {tensor.name: write_entry(tensor, payloads) for tensor in container.tensors}
    metadata = encode_xz(write_archive(entries), preset=PRESET)
    pieces = [VERSION, _U32.pack(len(metadata)), metadata, _U32.pack(len(payloads.bodies))]
    return b"".join([*pieces, *_packed(payloads.bodies)])


def _packed(bodies: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Give each payload with its method: what xz made of it, or what lrzip does."""
    for raw, short in bodies:
        try:
            other = Lrzip().encode(raw)
        except UsageError:  # the program is missing; the exporter does without it too
            other = short
        method, body = (LRZIP, other) if len(other) < len(short) else (XZ, short)
        yield _PAYLOAD.pack(method, len(body)) + body
