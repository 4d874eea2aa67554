"""Codecs: bytes to fewer bytes, and back to exactly as many as promised."""

from artpack.coding.codecs.brotli import Brotli
from artpack.coding.codecs.lzma import Lzma
from artpack.coding.codecs.rare.lrzip import Lrzip
from artpack.coding.codecs.stored import Stored
from artpack.coding.codecs.zpaq import Zpaq
from artpack.coding.codecs.zstd import Zstd
from artpack.stages import Codec, Table, by_id

__all__ = ["CODECS", "STANDARD", "Brotli", "Lrzip", "Lzma", "Stored", "Zpaq", "Zstd"]

CODECS: Table[Codec] = by_id((Stored, Zstd, Brotli, Lzma, Zpaq, Lrzip))

STANDARD = (Stored, Lzma)
"""Those that Python's standard library decodes."""
