"""
The compression around a container, undone within a limit.

Unlike the streams of an artifact these do not say how long they will be, so each is
decoded up to what is left of an :class:`Allowance` and not a byte further.
"""

import lzma
import sys
import zlib
from dataclasses import dataclass
from typing import cast

import brotli

from artpack.coding.codecs import Lrzip
from artpack.coding.codecs.exact import Decompressor
from artpack.errors import ArtifactError, CorruptError, TruncatedError
from artpack.interop.pr1934 import shuffle

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

XZ_MAGIC = b"\xfd7zXZ\x00"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
ZLIB_MAGICS = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")

_XZ_MEMORY_BYTES = 1 << 27  # preset 9 needs half of this
_ZSTD_WINDOW_LOG = 27
_LRZIP_SIZE = slice(6, 14)


@dataclass
class Allowance:
    """
    How many bytes may still be decoded.

    Attributes:
        left_bytes: Decoding more than this is an error.
    """

    left_bytes: int

    def spend(self, size: int, what: str) -> None:
        """
        Take bytes off, before they are allocated where that is possible.

        Args:
            size: How many.
            what: Who wants them, for the message.

        Raises:
            CorruptError: There are not as many left.

        """
        if size > self.left_bytes:
            raise CorruptError(
                f"{what} decodes to more than {self.left_bytes} bytes, the limit:"
                " raise the limit if you trust the file"
            )
        self.left_bytes -= size


def unwrap(data: bytes, allowance: Allowance) -> bytes:
    """
    Undo whatever a container is wrapped in.

    Args:
        data: A zstd, xz or zlib stream, a Brotli stream, or nothing of the kind;
            inside it bytes may be shuffled.
        allowance: How much may be decoded.

    Returns:
        What was wrapped; the data themselves if they begin like a zip archive.

    Raises:
        TruncatedError: The stream ends early.
        CorruptError: It is none of these, is damaged, or decodes to too much.

    """
    if data.startswith(b"PK"):
        return data
    if data.startswith(ZSTD_MAGIC):
        inner = decode_zstd(data, allowance)
    elif data.startswith(XZ_MAGIC):
        inner = decode_xz(data, allowance)
    elif data.startswith(ZLIB_MAGICS):
        inner = _drain(cast("Decompressor", zlib.decompressobj()), data, allowance, "zlib")
    else:
        inner = _guess_brotli(data, allowance)
    return shuffle.unshuffle(inner) if inner.startswith(shuffle.MAGIC) else inner


def _guess_brotli(data: bytes, allowance: Allowance) -> bytes:
    """Brotli has no magic number: it is what is left, and may be nothing that we know."""
    try:
        return decode_brotli(data, allowance)
    except ArtifactError as error:
        raise type(error)(f"no container of a known format, or damaged: {error}") from error


def decode_zstd(data: bytes, allowance: Allowance) -> bytes:
    """
    Decode one zstd frame.

    Args:
        data: The frame, and nothing after it.
        allowance: How much may be decoded.

    Returns:
        Its content.

    Raises:
        TruncatedError: The frame ends early.
        CorruptError: It is damaged, needs a window of more than 128 MiB, or decodes
            to too much.

    """
    decompressor = zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    )
    return _drain(decompressor, data, allowance, "zstd")


def encode_zstd(data: bytes) -> bytes:
    """
    Encode as a frame of level 22 that states its content's size.

    Args:
        data: Any bytes.

    Returns:
        One zstd frame.

    """
    return zstd.compress(data, 22)


def decode_xz(data: bytes, allowance: Allowance) -> bytes:
    """
    Decode one xz stream.

    Args:
        data: The stream, and nothing after it.
        allowance: How much may be decoded.

    Returns:
        Its content.

    Raises:
        TruncatedError: The stream ends early.
        CorruptError: It is damaged, needs more than 128 MiB of memory, or decodes to
            too much.

    """
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
    return _drain(decompressor, data, allowance, "xz")


def encode_xz(data: bytes, *, preset: int) -> bytes:
    """
    Encode as an xz stream.

    Args:
        data: Any bytes.
        preset: 0 to 9.

    Returns:
        One xz stream.

    """
    return lzma.compress(data, preset=preset)


def decode_brotli(data: bytes, allowance: Allowance) -> bytes:
    """
    Decode one Brotli stream.

    Args:
        data: The stream, and nothing after it.
        allowance: How much may be decoded.

    Returns:
        Its content.

    Raises:
        TruncatedError: The stream ends early.
        CorruptError: It is no Brotli stream, or decodes to too much.

    """
    decompressor = brotli.Decompressor()
    try:
        # A soft limit: the last buffer is filled, which may triple the output.
        decoded: bytes = decompressor.process(data, output_buffer_limit=allowance.left_bytes + 1)
    except brotli.error as error:
        raise CorruptError("brotli: not one whole stream") from error
    allowance.spend(len(decoded), "brotli")
    if not decompressor.is_finished():
        raise TruncatedError(f"brotli: the stream ends early, after {len(decoded)} bytes")
    return decoded


def decode_lrzip(data: bytes, allowance: Allowance) -> bytes:
    """
    Decode one archive of the program ``lrzip``.

    Args:
        data: The archive, and nothing after it.
        allowance: How much may be decoded.

    Returns:
        Its content.

    Raises:
        TruncatedError: The archive ends within its header.
        CorruptError: It is damaged, or says that it decodes to too much.
        UsageError: The program is missing.

    """
    size = int.from_bytes(data[_LRZIP_SIZE], "little")
    allowance.spend(size, "lrzip")
    return Lrzip().decode(data, size=size)


def _drain(decompressor: Decompressor, data: bytes, allowance: Allowance, name: str) -> bytes:
    try:
        # One byte more than allowed is room enough to notice that there is more.
        decoded = decompressor.decompress(data, allowance.left_bytes + 1)
    except (zlib.error, lzma.LZMAError, zstd.ZstdError, MemoryError) as error:
        raise CorruptError(f"{name}: {error}".lower()) from error
    allowance.spend(len(decoded), name)
    if not decompressor.eof:
        raise TruncatedError(f"{name}: the stream ends early, after {len(decoded)} bytes")
    if decompressor.unused_data:
        extra = len(decompressor.unused_data)
        raise CorruptError(f"{name}: {extra} bytes follow the end of the stream")
    return decoded
