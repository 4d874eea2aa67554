"""
Zstandard without a frame header.

The module is the standard library's ``compression.zstd`` (Python 3.14), which
``backports.zstd`` brings to older Pythons and ``pyzstd`` wraps. It was chosen
over ``zstandard``: both link libzstd 1.5.7 and write the same blocks, but only
this one can stop a bomb (``max_length``) and shows what follows a frame.
``zstandard`` 0.25 accepts any bytes after a frame that does not state its
content size, even with ``allow_extra_data=False``. What speaks for it, frames
without the four magic bytes, is had here by leaving off the whole header.

Source: RFC 8878.
"""

import sys
from dataclasses import dataclass
from typing import ClassVar

from artpack.coding.codecs.exact import drain_exactly
from artpack.errors import CorruptError, UsageError
from artpack.stages import ConfiguredStage

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MIN_WINDOW_LOG = 10
_MAX_WINDOW_LOG = 27

# Magic number, then a frame header descriptor that announces neither a content
# size nor a checksum nor a dictionary. The window descriptor is all that follows.
_FRAME_START = b"\x28\xb5\x2f\xfd\x00"
_FRAME_HEADER_BYTES = len(_FRAME_START) + 1


@dataclass(frozen=True)
class Zstd(ConfiguredStage):
    r"""
    Zstandard: blocks only, the frame header is put back on decoding.

    The window that the decoder allocates follows from ``size`` and the
    configuration, never from the stream. An empty stream costs 3 bytes.

    Attributes:
        level: 1 to 22.
        window_log: Base-2 logarithm of the longest match distance in bytes,
            10 to 27. Less is used when the data are shorter.

    >>> Zstd().encode(b"")
    b'\x01\x00\x00'
    """

    stage_id: ClassVar[str] = "zstd"
    level: int = 22
    window_log: int = 27

    def __post_init__(self) -> None:
        if not 1 <= self.level <= 22:
            raise UsageError(f"zstd: level must be 1 to 22, got {self.level}")
        if not _MIN_WINDOW_LOG <= self.window_log <= _MAX_WINDOW_LOG:
            raise UsageError(f"zstd: window_log must be 10 to 27, got {self.window_log}")

    def encode(self, data: bytes) -> bytes:
        """Compress to Zstandard blocks without a frame around them."""
        option = zstd.CompressionParameter
        frame = zstd.compress(
            data,
            options={
                option.compression_level: self.level,
                option.window_log: self._window_log(len(data)),
                option.content_size_flag: 0,
                option.checksum_flag: 0,
                option.dict_id_flag: 0,
            },
        )
        return frame[_FRAME_HEADER_BYTES:]

    def decode(self, data: bytes, *, size: int) -> bytes:
        """Decompress blocks, the frame header put back."""
        window_log = self._window_log(size)
        header = _FRAME_START + bytes([(window_log - _MIN_WINDOW_LOG) << 3])
        decompressor = zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: window_log}
        )
        try:
            return drain_exactly(decompressor, header + data, size=size, stage_id=self.stage_id)
        except zstd.ZstdError as error:
            raise CorruptError(f"{self.stage_id}: {error}") from error

    def _window_log(self, size: int) -> int:
        return max(_MIN_WINDOW_LOG, min(self.window_log, size.bit_length()))
