"""
Weights to symbols and back, without data: every grid, in one table.

::

    weights ─► quantize ─► parts: codes, scales, ... ─► dequantize ─► weights

Each grid is a :class:`~artpack.stages.Quantizer`.
"""

from artpack.quantize.grids.asym_int import RowAsymInt
from artpack.quantize.grids.floats import Bf16, Fp8, Fp16
from artpack.quantize.grids.group_levels import GroupLevels
from artpack.quantize.grids.lattice import Lattice
from artpack.quantize.grids.low_rank import LowRank
from artpack.quantize.grids.pentanary import RowPentanary
from artpack.quantize.grids.raw import Raw
from artpack.quantize.grids.row_int import RowInt
from artpack.stages import Quantizer, Table, by_id

__all__ = [
    "QUANTIZERS",
    "Bf16",
    "Fp8",
    "Fp16",
    "GroupLevels",
    "Lattice",
    "LowRank",
    "Raw",
    "RowAsymInt",
    "RowInt",
    "RowPentanary",
]

QUANTIZERS: Table[Quantizer] = by_id(
    (RowInt, GroupLevels, RowPentanary, RowAsymInt, Fp8, Fp16, Bf16, Raw, LowRank, Lattice)
)
