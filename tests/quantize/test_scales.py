"""Scales: published examples, error bounds, and parts from a stranger."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from artpack.errors import CorruptError, UsageError
from artpack.quantize.parts import join_bytes, split_bytes
from artpack.quantize.scales import (
    SCALES,
    Fp16Scales,
    LogDeltaScales,
    Scales,
    fp16_scales,
    positive_scales,
)
from artpack.stages import stage_from_json, stage_to_json

STAGES: list[Scales] = [Fp16Scales(), *(LogDeltaScales(bits) for bits in (4, 5, 8))]
MOST = 0x7BFF  # the bit pattern of 65504


@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_config_round_trip(stage: Scales) -> None:
    assert stage_from_json(SCALES, stage_to_json(stage)) == stage


@pytest.mark.parametrize("stage", STAGES, ids=repr)
@pytest.mark.parametrize("shape", [(0, 1), (0, 0), (1, 1), (3, 4)], ids=str)
def test_parts_have_the_promised_geometry(stage: Scales, shape: tuple[int, int]) -> None:
    scales = torch.linspace(0.01, 0.1, shape[0] * shape[1]).reshape(shape).half()

    parts = stage.quantize(scales)

    specs = stage.parts(*shape)
    assert {name: part.shape for name, part in parts.items()} == {s.name: s.shape for s in specs}
    assert stage.values(parts, shape=shape).shape == shape


@settings(deadline=None)
@given(bits=st.lists(st.integers(1, MOST), min_size=1, max_size=40))
def test_fp16_scales_are_lossless(bits: list[int]) -> None:
    scales = torch.tensor(bits, dtype=torch.int16).view(torch.float16).reshape(1, -1)

    back = torch.from_numpy(
        Fp16Scales().values(Fp16Scales().quantize(scales), shape=(1, len(bits)))
    )

    assert torch.equal(back, scales.float())


@pytest.mark.parametrize("bits", [4, 5, 8])
@settings(deadline=None)
@given(patterns=st.lists(st.integers(1, MOST), min_size=1, max_size=40))
def test_log_delta_scales_are_within_half_a_step(bits: int, patterns: list[int]) -> None:
    scales = torch.tensor(patterns, dtype=torch.int16).view(torch.float16).reshape(1, -1)
    stage = LogDeltaScales(bits)
    parts = stage.quantize(scales)
    anchor, step = join_bytes("anchor_step", parts, torch.float16).tolist()

    back = torch.from_numpy(stage.values(parts, shape=(1, len(patterns)))).double()

    # Half a step, plus what rounding anchor and step to fp16 moves the outermost level by,
    # plus the rounding of the scale itself: 2**-11 of it, and for subnormals half of 2**-24.
    moved = (abs(anchor) + 2 ** (bits - 1) * step) * 2.0**-11 + 2.0**-25
    factor = 2.0 ** (step * (0.5 + 2.0**-11) + moved + 2.0**-18)
    slack = 2.0**-25
    assert (back <= scales.double() * factor * (1 + 2.0**-11) + slack).all()
    assert (back >= scales.double() / factor * (1 - 2.0**-11) - slack).all()
    assert (back >= 2.0**-24).all()
    assert (back <= 65504).all()


@pytest.mark.parametrize(
    ("bits", "inner", "step"), [(4, [5, 7, 11], 7 / 15), (8, [73, 110, 183], 7 / 255)]
)
def test_four_and_eight_bits_divide_the_range_likewise(
    bits: int, inner: list[int], step: float
) -> None:
    scales = torch.tensor([[2.0**-9, 2.0**-7, 2.0**-6, 2.0**-4, 2.0**-2]]).half()

    parts = LogDeltaScales(bits).quantize(scales)

    assert parts["scales"][0, 1:4].tolist() == inner
    assert parts["scales"][0, 4] == 2**bits - 1
    assert join_bytes("anchor_step", parts, torch.float16).tolist() == [-5.5, np.float16(step)]


def test_equal_scales_have_no_step() -> None:
    scales = torch.full((2, 3), 0.25).half()

    parts = LogDeltaScales(5).quantize(scales)

    assert parts["scales"].tolist() == [[16] * 3] * 2
    assert join_bytes("anchor_step", parts, torch.float16).tolist() == [-2.0, 0.0]
    assert np.array_equal(LogDeltaScales(5).values(parts, shape=(2, 3)), scales.float())


def test_the_largest_fp16_does_not_become_infinite() -> None:
    scales = torch.full((1, 2), 65504.0).half()

    back = torch.from_numpy(
        LogDeltaScales(5).values(LogDeltaScales(5).quantize(scales), shape=(1, 2))
    )

    assert torch.equal(back, scales.float())


@pytest.mark.parametrize("value", [-1.0, -0.0, float("inf"), float("nan")])
def test_fp16_scales_that_no_writer_makes_are_corrupt(value: float) -> None:
    parts = Fp16Scales().quantize(torch.tensor([[1.0], [value]]).half())

    with pytest.raises(CorruptError, match=f"scale 1 is {value}"):
        Fp16Scales().values(parts, shape=(2, 1))


def test_the_upper_plane_of_fp16_scales_holds_neither_sign_nor_top_exponent() -> None:
    zeros = np.zeros((1, 1), np.uint8)
    corrupt = []
    for upper in range(256):
        parts = {"scales.0": zeros, "scales.1": zeros + np.uint8(upper)}
        try:
            Fp16Scales().values(parts, shape=(1, 1))
        except CorruptError:
            corrupt.append(upper)

    assert corrupt == list(range(0x7C, 256))


@pytest.mark.parametrize(
    ("anchor", "step"), [(float("nan"), 0.1), (float("inf"), 0.1), (0.0, -0.1), (0.0, float("nan"))]
)
def test_anchor_and_step_that_no_writer_makes_are_corrupt(anchor: float, step: float) -> None:
    planes = split_bytes("anchor_step", torch.tensor([anchor, step]).half())
    parts = {"scales": np.zeros((1, 1), np.uint8), **planes}

    with pytest.raises(CorruptError, match="anchor"):
        LogDeltaScales(5).values(parts, shape=(1, 1))


def test_scales_below_fp16_take_the_smallest_of_the_others() -> None:
    scales = positive_scales(torch.tensor([[0.5, 1e-12], [0.0, 0.25]]))

    assert scales.tolist() == [[0.5, 0.25], [0.25, 0.25]]
    assert positive_scales(torch.zeros(2, 1)).tolist() == [[2.0**-24]] * 2


def test_scales_beyond_fp16_are_an_error() -> None:
    assert fp16_scales(torch.tensor([[65519.0]])).item() == 65504
    with pytest.raises(UsageError, match="row 1 needs a scale of 65520"):
        fp16_scales(torch.tensor([[1.0, 2.0], [3.0, 65520.0]]))


@pytest.mark.parametrize("bits", [0, 3, 6, 16])
def test_only_published_widths_exist(bits: int) -> None:
    with pytest.raises(UsageError, match=f"bits must be 4, 5 or 8, got {bits}"):
        LogDeltaScales(bits)
