"""
The decoding of exactly the promised size, and no more.

A stream from a stranger may decode to gigabytes, end early, or carry bytes
that nothing reads. Every codec ends in one of these two checks.
"""

from typing import Protocol

from artpack.errors import CorruptError, TruncatedError


class Decompressor(Protocol):
    """The standard library's incremental interface, as ``lzma`` and ``zstd`` have it."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream has been reached."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the stream."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return at most ``max_length`` bytes."""


def drain_exactly(decompressor: Decompressor, data: bytes, *, size: int, stage_id: str) -> bytes:
    """
    Decompress one whole stream that must be ``size`` bytes long.

    Args:
        decompressor: Fresh; its own errors pass through.
        data: The stream, and nothing after it.
        size: Number of bytes that must come out.
        stage_id: Whom to name in an error.

    Returns:
        ``size`` bytes.

    Raises:
        TruncatedError: The stream does not end.
        CorruptError: It holds another number of bytes, or something follows it.

    """
    # One byte more than promised is room enough to notice that there is more.
    decoded = decompressor.decompress(data, size + 1)
    if len(decoded) <= size:
        if not decompressor.eof:
            raise TruncatedError(f"{stage_id}: the stream ends early, after {len(decoded)} bytes")
        if decompressor.unused_data:
            extra = len(decompressor.unused_data)
            raise CorruptError(f"{stage_id}: {extra} bytes follow the end of the stream")
    return check_size(decoded, size=size, stage_id=stage_id)


def check_size(decoded: bytes, *, size: int, stage_id: str) -> bytes:
    """
    Return what was decoded if it is as long as promised.

    Args:
        decoded: What came out.
        size: What should have come out, in bytes.
        stage_id: Whom to name in an error.

    Returns:
        ``decoded``.

    Raises:
        CorruptError: The lengths differ.

    """
    if len(decoded) != size:
        relation = "fewer" if len(decoded) < size else "more"
        raise CorruptError(f"{stage_id}: the stream holds {relation} than {size} bytes")
    return decoded
