"""
Brotli.

A Brotli stream has no magic number, size or checksum to leave off, so it is
stored as it is. Standard streams cannot ask for a window beyond 16 MiB (the
decoder never turns the large window extension on), so memory is bounded.

Source: RFC 7932.
"""

from dataclasses import dataclass
from typing import ClassVar

import brotli

from artpack.coding.codecs.exact import check_size
from artpack.errors import CorruptError, TruncatedError, UsageError
from artpack.stages import ConfiguredStage


@dataclass(frozen=True)
class Brotli(ConfiguredStage):
    """
    Brotli: context-modelled Huffman codes over a small window.

    Attributes:
        quality: 0 to 11.
        window_log: Base-2 logarithm of the longest match distance in bytes, 10 to 24.

    >>> Brotli().decode(Brotli().encode(b"weights"), size=7)
    b'weights'
    """

    stage_id: ClassVar[str] = "brotli"
    quality: int = 11
    window_log: int = 24

    def __post_init__(self) -> None:
        if not 0 <= self.quality <= 11:
            raise UsageError(f"brotli: quality must be 0 to 11, got {self.quality}")
        if not 10 <= self.window_log <= 24:
            raise UsageError(f"brotli: window_log must be 10 to 24, got {self.window_log}")

    def encode(self, data: bytes) -> bytes:
        """Compress to one Brotli stream."""
        stream: bytes = brotli.compress(data, quality=self.quality, lgwin=self.window_log)
        return stream

    def decode(self, data: bytes, *, size: int) -> bytes:
        """Decompress one whole Brotli stream."""
        decompressor = brotli.Decompressor()
        try:
            # A soft limit: the last buffer is filled, which may triple the output.
            decoded: bytes = decompressor.process(data, output_buffer_limit=size + 1)
        except brotli.error as error:
            raise CorruptError(f"{self.stage_id}: not one whole Brotli stream") from error
        if len(decoded) <= size and not decompressor.is_finished():
            raise TruncatedError(
                f"{self.stage_id}: the stream ends early, after {len(decoded)} bytes"
            )
        return check_size(decoded, size=size, stage_id=self.stage_id)
