"""
LZMA without a container.

A raw LZMA1 stream ends in an end marker of about six bytes and has no other
overhead. LZMA2 was measured against it on the int6 symbols of a trained model
and is larger throughout: it spends six bytes on each chunk of at most 64 KiB.

Source: the LZMA specification of the LZMA SDK.
"""

import lzma
from dataclasses import dataclass
from typing import Any, ClassVar

from artpack.coding.codecs.exact import drain_exactly
from artpack.errors import CorruptError, UsageError
from artpack.stages import ConfiguredStage
from artpack.system.jit import portable

_MIN_DICTIONARY = 1 << 12
_MAX_DICTIONARY = 1 << 26  # what preset 9 uses: more costs the encoder gigabytes

# The range coder's first byte is always zero, so it is not stored.
_FIRST_BYTE = b"\x00"


@dataclass(frozen=True)
class Lzma(ConfiguredStage):
    """
    Raw LZMA1 at preset 9 extreme.

    The dictionary that the decoder allocates follows from ``size``, never from
    the stream. The three fields choose which bits predict a byte; on int6
    symbols no choice is worth more than 2%, and none wins everywhere.

    Attributes:
        lc: Number of high bits of the previous byte that predict a literal, 0 to 4.
        lp: Number of low bits of the position that predict a literal, 0 to 4;
            ``lc + lp`` is at most 4.
        pb: Number of low bits of the position that predict everything else, 0 to 4.

    >>> Lzma().decode(Lzma(lc=3).encode(b"weights"), size=7)
    b'weights'
    """

    stage_id: ClassVar[str] = "lzma"
    lc: int = 3
    lp: int = 0
    pb: int = 2

    @portable(by=None)
    def __post_init__(self) -> None:
        for name, bits in (("lc", self.lc), ("lp", self.lp), ("pb", self.pb)):
            if not 0 <= bits <= 4:
                raise UsageError(f"lzma: {name} must be 0 to 4, got {bits}")
        if self.lc + self.lp > 4:
            raise UsageError(f"lzma: lc + lp must be at most 4, got {self.lc} + {self.lp}")

    def encode(self, data: bytes) -> bytes:
        """Compress to a raw LZMA1 stream with an end marker, without its first byte."""
        stream = lzma.compress(data, lzma.FORMAT_RAW, filters=self._filters(len(data)))
        return stream[len(_FIRST_BYTE) :]

    def decode(self, data: bytes, *, size: int) -> bytes:
        """Decompress one whole LZMA1 stream."""
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=self._filters(size))
        stream = _FIRST_BYTE + data
        try:
            return drain_exactly(decompressor, stream, size=size, stage_id=self.stage_id)
        except lzma.LZMAError as error:
            raise CorruptError(f"{self.stage_id}: {error}") from error

    def _filters(self, size: int) -> list[dict[str, Any]]:
        return [
            {
                "id": lzma.FILTER_LZMA1,
                "preset": 9 | lzma.PRESET_EXTREME,
                "dict_size": max(_MIN_DICTIONARY, min(size, _MAX_DICTIONARY)),
                "lc": self.lc,
                "lp": self.lp,
                "pb": self.pb,
            }
        ]
