"""Tensors that are quantized before they are packed: with data, or by somebody else."""

from dataclasses import dataclass

from artpack.quantize.report import Report
from artpack.stages import Quantizer
from artpack.symbols import Quantized


@dataclass(frozen=True, eq=False)
class Prepared:
    """
    A tensor as it is to be stored.

    Attributes:
        quantizer: What gives its weights back.
        quantized: Its symbols.
        report: How far it is from the weights it was made of, if that is known.
    """

    quantizer: Quantizer
    quantized: Quantized
    report: Report | None = None
