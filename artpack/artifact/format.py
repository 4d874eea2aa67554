"""
The fixed-size ends of an artifact, and the limits a reader sets.

docs/FORMAT.md is the law; this is its first section in code.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from artpack.errors import CorruptError, TruncatedError, UsageError, VersionError

MAGIC = b"\x89ART\r\n\x1a\n"
"""A non-ASCII byte and both line ends, so that text-mode damage shows."""

VERSION = 1
PREAMBLE = struct.Struct("<8sHIIQ8s8s")
PREAMBLE_BYTES = PREAMBLE.size  # 42
TRAILER_BYTES = 32
CHECKSUM_BYTES = 8

MAX_HEADER_BYTES = 8 << 20
"""Decoded. A header of 60,000 tensors is about half of this."""

MAX_MEMBERS = 1 << 18

MAX_DIMS = 8
MAX_DIM = 1 << 31
MAX_WEIGHTS = 1 << 40


def max_decoded_bytes(file_bytes: int) -> int:
    """
    Return the most that all streams together may decode to, unless the caller allows more.

    A weight takes a tenth of a bit or more in any model that does something, and
    then 64 MiB hold the rest: a file that claims to be smaller is likelier a bomb.

    Args:
        file_bytes: Size of the file.

    Returns:
        A number of symbols, one byte each.

    """
    return (64 << 20) + 256 * file_bytes


def max_coded_bytes(symbols: int) -> int:
    """
    Return the most that a stream of this many symbols may be between coder and codec.

    A coder that expands further is of no use, and a file that claims so is a bomb.

    Args:
        symbols: Number of symbols of the stream.

    Returns:
        A number of bytes.

    """
    return 2 * symbols + 65_536


def shape_fault(shape: Sequence[int]) -> str | None:
    """
    Say why no artifact has a tensor of some shape.

    Args:
        shape: Its dimensions, 0 or more.

    Returns:
        What follows the tensor's name in a message; None for a shape that one may have.

    >>> shape_fault((0, 1 << 40))
    'a dimension of 1099511627776, the limit is 2147483647'

    """
    if len(shape) > MAX_DIMS:
        return f"{len(shape)} dimensions, the limit is {MAX_DIMS}"
    if max(shape, default=0) >= MAX_DIM:
        return f"a dimension of {max(shape)}, the limit is {MAX_DIM - 1}"
    weights = math.prod(max(1, size) for size in shape)
    if weights > MAX_WEIGHTS:
        return f"{weights} weights, the limit is {MAX_WEIGHTS}"
    return None


def checksum(data: bytes) -> bytes:
    """
    Return the checksum that the format uses everywhere but in the trailer.

    Args:
        data: Any bytes.

    Returns:
        The first 8 bytes of their SHA-256.

    >>> checksum(b"").hex()
    'e3b0c44298fc1c14'

    """
    return hashlib.sha256(data).digest()[:CHECKSUM_BYTES]


@dataclass(frozen=True)
class Preamble:
    """
    The first 42 bytes of an artifact.

    Attributes:
        header_stored_bytes: Size of the header as it lies in the file.
        header_decoded_bytes: Size of the header's CBOR.
        file_bytes: Size of the whole file, trailer included.
        header_checksum: Of the header as it lies in the file.
    """

    header_stored_bytes: int
    header_decoded_bytes: int
    file_bytes: int
    header_checksum: bytes

    def pack(self) -> bytes:
        """
        Write the preamble.

        Returns:
            42 bytes.

        Raises:
            UsageError: The header is larger than a reader accepts.

        """
        if max(self.header_stored_bytes, self.header_decoded_bytes) > MAX_HEADER_BYTES:
            raise UsageError(
                f"header of {self.header_decoded_bytes} bytes is over the format's limit"
                f" of {MAX_HEADER_BYTES}: pack fewer tensors"
            )
        fields = (
            MAGIC,
            VERSION,
            self.header_stored_bytes,
            self.header_decoded_bytes,
            self.file_bytes,
            self.header_checksum,
        )
        front = PREAMBLE.pack(*fields, b"")[:-CHECKSUM_BYTES]
        return front + checksum(front)


def unpack_preamble(data: bytes, *, available_bytes: int) -> Preamble:
    """
    Read the preamble and check it against the size of the file.

    Args:
        data: The first 42 bytes of the file, or all of a shorter file.
        available_bytes: Size of the file.

    Returns:
        The preamble, with sizes that fit the file and the format's limits.

    Raises:
        CorruptError: This is not an artifact, or it is damaged.
        VersionError: It is of a version that this reader does not know.
        TruncatedError: The file is shorter than it says.

    """
    if not data.startswith(MAGIC[: len(data)]):
        raise CorruptError(f"not an artpack artifact: it starts with {data[:8].hex(' ')}")
    if len(data) < PREAMBLE_BYTES:
        raise TruncatedError(f"{len(data)} bytes, the preamble alone has {PREAMBLE_BYTES}")
    _, version, stored, decoded, file_bytes, header_checksum, own = PREAMBLE.unpack_from(data)
    if version != VERSION:
        raise VersionError(
            f"format version {version}, this artpack reads version {VERSION}: update artpack"
        )
    if checksum(data[:-CHECKSUM_BYTES]) != own:
        raise CorruptError("the preamble's checksum does not match: the file is damaged")
    if max(stored, decoded) > MAX_HEADER_BYTES:
        raise CorruptError(f"header of {max(stored, decoded)} bytes, limit {MAX_HEADER_BYTES}")
    if file_bytes < PREAMBLE_BYTES + stored + TRAILER_BYTES:
        raise CorruptError(f"a file of {file_bytes} bytes cannot hold a header of {stored}")
    if available_bytes < file_bytes:
        raise TruncatedError(f"{available_bytes} bytes of {file_bytes} are there")
    if available_bytes > file_bytes:
        raise CorruptError(f"{available_bytes - file_bytes} bytes follow the end of the artifact")
    return Preamble(stored, decoded, file_bytes, header_checksum)
