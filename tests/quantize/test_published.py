"""
Published systems, reproduced from formulas: no file is needed.

Sources: parameter-golf pull requests 2086, 1123 and 1934. The checksums were
computed by running their own export functions on weights filled as below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.quantize.grids.asym_int import RowAsymInt
from artpack.quantize.grids.group_levels import GroupLevels
from artpack.quantize.grids.pentanary import RowPentanary
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.parts import join_bytes
from artpack.quantize.rounding.clips import PercentileClip, StdClip
from artpack.quantize.scales import LogDeltaScales
from artpack.stages.symbols import Symbols


def fill(entry: int, rows: int, cols: int, amplitude: float = 0.05) -> Tensor:
    """Return the weights of entry number ``entry`` of a state dict (2086 and 1123)."""
    x = np.arange(rows * cols, dtype=np.uint32) + np.uint32(1000003 * entry)
    x *= np.uint32(2654435761)
    x ^= x >> np.uint32(16)
    x *= np.uint32(2246822519)
    x ^= x >> np.uint32(13)
    x *= np.uint32(3266489917)
    x ^= x >> np.uint32(16)
    values = amplitude * (x / 2.0**31 - 1)
    return torch.from_numpy(values.astype(np.float32)).reshape(rows, cols)


def fill_1934(entry: int, rows: int, cols: int, amplitude: float) -> Tensor:
    """Return the weights that 1934's vectors are computed from."""
    x = np.arange(rows * cols, dtype=np.uint32) + np.uint32(1 + 100003 * (entry + 1))
    x *= np.uint32(2654435761)
    x ^= x >> np.uint32(15)
    x *= np.uint32(2246822519)
    x ^= x >> np.uint32(13)
    values = amplitude * (x / 2.0**32 - 0.5)
    return torch.from_numpy(values.astype(np.float32)).reshape(rows, cols)


def fp16(name: str, parts: Mapping[str, Symbols]) -> list[float]:
    return join_bytes(name, parts, torch.float16).tolist()


@dataclass(frozen=True)
class Export2086:
    """What the export of a quinary matrix gives."""

    entry: int
    shape: tuple[int, int]
    histogram: list[int]
    codes_crc32: int
    anchor: float
    step: float
    scales_crc32: int
    first_scales: list[int]


C_QKV = Export2086(
    entry=9,
    shape=(1152, 576),
    histogram=[82103, 166179, 165950, 166556, 82764],
    codes_crc32=0x481467FD,
    anchor=-5.3125,
    step=0.0138092041,
    scales_crc32=0x443AE291,
    first_scales=[9, 14, 12, 11, 13, 19],
)
MLP_PROJ = Export2086(
    entry=15,
    shape=(576, 2304),
    histogram=[164247, 333494, 331142, 333563, 164658],
    codes_crc32=0x86E2881C,
    anchor=-5.3359375,
    step=0.0147018433,
    scales_crc32=0xCFFE5176,
    first_scales=[13, 22, 11, 12, 15, 19],
)
MLP_FC = Export2086(
    entry=121,
    shape=(2304, 576),
    histogram=[164371, 333665, 330718, 333800, 164550],
    codes_crc32=0x329288C2,
    anchor=-5.33203125,
    step=0.0138397217,
    scales_crc32=0xC05317E5,
    first_scales=[21, 12, 8, 18, 5, 17],
)


@pytest.mark.parametrize("export", [C_QKV, MLP_PROJ, MLP_FC], ids=lambda e: f"entry {e.entry}")
def test_quinary_export_of_2086(export: Export2086) -> None:
    stage = GroupLevels(2, 192, LogDeltaScales(5))

    parts = stage.quantize(fill(export.entry, *export.shape)).parts

    assert np.bincount(parts["codes"].ravel()).tolist() == export.histogram
    assert crc32(parts["codes"].tobytes()) == export.codes_crc32
    anchor, step = fp16("anchor_step", parts)
    assert (anchor, step) == (export.anchor, float(np.float16(export.step)))
    assert crc32(parts["scales"].tobytes()) == export.scales_crc32
    assert parts["scales"].ravel()[:6].tolist() == export.first_scales


def test_scales_of_2086_before_and_after_their_coding() -> None:
    weight = fill(9, 1152, 576)
    stored = fp16("scales", GroupLevels(2, 192).quantize(weight).parts)
    stage = GroupLevels(2, 192, LogDeltaScales(5))

    decoded = stage.scales.values(stage.quantize(weight).parts, shape=(1152, 3))

    assert [f"{s:.8f}" for s in stored[:3]] == ["0.02345276", "0.02470398", "0.02420044"]
    assert [f"{s:.8f}" for s in decoded[0].tolist()] == ["0.02352905", "0.02468872", "0.02421570"]


@dataclass(frozen=True)
class Export1123:
    """What the export of a matrix gives."""

    stage: RowAsymInt | RowPentanary
    entry: int
    shape: tuple[int, int]
    symbols_crc32: int
    scales: list[float]
    counts: list[int]
    last_counts: list[int]


C_Q = Export1123(
    stage=RowAsymInt(6),
    entry=11,
    shape=(512, 512),
    symbols_crc32=0x81C80CE5,
    scales=[0.04965210, 0.04986572, 0.04983521],
    counts=[2301, 4073, 4165, 3995, 4295],
    last_counts=[4038, 4020, 6313],
)
C_V = Export1123(
    stage=RowAsymInt(5),
    entry=13,
    shape=(256, 512),
    symbols_crc32=0x4CAE2CED,
    scales=[0.04992676, 0.04998779, 0.04977417],
    counts=[2129, 4097, 4041, 4152, 4089],
    last_counts=[4039, 4059, 6343],
)
MLP_UP = Export1123(
    stage=RowPentanary(),
    entry=15,
    shape=(2048, 512),
    symbols_crc32=0x181E4D5A,
    scales=[0.02241516, 0.02198792, 0.02215576],
    counts=[156674, 183886, 366968, 183750, 157298],
    last_counts=[366968, 183750, 157298],
)
MLP_DOWN = Export1123(
    stage=RowAsymInt(4),
    entry=126,
    shape=(512, 2048),
    symbols_crc32=0x67C0CA4E,
    scales=[0.04998779, 0.04995728, 0.04998779],
    counts=[33197, 65616, 65533, 65603, 65336],
    last_counts=[65361, 65907, 98497],
)


@pytest.mark.parametrize("export", [C_Q, C_V, MLP_UP, MLP_DOWN], ids=lambda e: e.stage.label)
def test_export_of_1123(export: Export1123) -> None:
    parts = export.stage.quantize(fill(export.entry, *export.shape)).parts

    assert crc32(parts["codes"].tobytes()) == export.symbols_crc32
    assert fp16("scales", parts)[:3] == np.array(export.scales, np.float16).tolist()
    counts = np.bincount(parts["codes"].ravel()).tolist()
    assert counts[:5] == export.counts
    assert counts[-3:] == export.last_counts


@pytest.mark.parametrize(
    ("bits", "k", "steps"),
    [
        (6, 12.0, "2591 25bf 2583 25be 2577 25b4"),
        (7, 12.0, "217b 21a7 216d 21a7 2161 219d"),
        (6, 2.0, "1b6c 1ba9 1b59 1ba8 1b4a 1b9a"),
    ],
)
def test_row_steps_of_1934(bits: int, k: float, steps: str) -> None:
    weight = fill_1934(0, 6, 256, 0.2)

    found = RowInt(bits, StdClip(k)).steps(weight).numpy()

    assert [f"{pattern:04x}" for pattern in found.view(np.uint16).ravel()] == steps.split()


def test_int8_gates_of_1934() -> None:
    stage = RowInt(8, PercentileClip(100.0))

    parts = stage.quantize(fill_1934(5, 8, 12, 4.0)).parts

    codes = parts["codes"][0].astype(int) - 127
    assert codes.tolist() == [-15, -24, 16, -113, 68, 12, -74, 127, -79, 104, 73, 32]
    low, high = (parts[plane].ravel().tolist() for plane in ("scales.0", "scales.1"))
    assert bytes(high).hex(" ") == "23 23 23 23 23 23 23 22"
    assert bytes(low).hex(" ") == "87 a7 9f 9f e5 c8 22 70"
