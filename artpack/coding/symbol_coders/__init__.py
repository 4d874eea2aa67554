"""Symbols to bytes: packing and entropy coding alike."""

from artpack.coding.symbol_coders.adaptive import Adaptive
from artpack.coding.symbol_coders.classed_rans import ClassedRans
from artpack.coding.symbol_coders.rans import Rans
from artpack.coding.symbol_coders.rare.bits import Bits, Bytes
from artpack.coding.symbol_coders.rare.planes import Planes
from artpack.coding.symbol_coders.rare.radix import Base3, Base5, Base5Word
from artpack.stages import SymbolCoder, Table, by_id

SYMBOL_CODERS: Table[SymbolCoder] = by_id(
    (Bytes, Bits, Base3, Base5, Base5Word, Planes, Rans, ClassedRans, Adaptive)
)

__all__ = [
    "SYMBOL_CODERS",
    "Adaptive",
    "Base3",
    "Base5",
    "Base5Word",
    "Bits",
    "Bytes",
    "ClassedRans",
    "Planes",
    "Rans",
]
