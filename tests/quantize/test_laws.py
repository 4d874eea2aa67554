"""What every quantizer promises, whatever its grid."""

import json
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from artpack.errors import CorruptError, UsageError
from artpack.quantize import QUANTIZERS
from artpack.quantize import matrix_view as weights
from artpack.quantize.grids.asym_int import RowAsymInt
from artpack.quantize.grids.factors import GroupFactors, RowFactors
from artpack.quantize.grids.floats import Bf16, Fp8, Fp16
from artpack.quantize.grids.group_levels import GroupLevels
from artpack.quantize.grids.lattice import Lattice
from artpack.quantize.grids.low_rank import LowRank
from artpack.quantize.grids.pentanary import RowPentanary
from artpack.quantize.grids.raw import Raw
from artpack.quantize.grids.row_int import RowInt
from artpack.quantize.rounding.clips import GivenClip, MseClip, PercentileClip, StdClip
from artpack.quantize.scales import LogDeltaScales
from artpack.stages import Quantizer, stage_from_json, stage_to_json
from artpack.stages.symbols import Quantized, Symbols

LOSSY: list[Quantizer] = [
    RowInt(6, StdClip(12.0)),
    RowInt(2, MseClip()),
    RowInt(8, PercentileClip(99.9)),
    RowInt(8, GivenClip()),
    RowInt(4, StdClip(3.0), LogDeltaScales(4)),
    GroupLevels(1, 3),
    GroupLevels(2, 64, LogDeltaScales(5)),
    GroupLevels(2, 1, LogDeltaScales(8)),
    RowPentanary(),
    RowAsymInt(6),
    RowAsymInt(8),
    Fp8(),
    Fp16(),
    Bf16(),
    LowRank(RowInt(6, StdClip(12.0)), 4, GroupFactors(64)),
    LowRank(RowAsymInt(5), 1, RowFactors(4)),
    Lattice(1, 31),
    Lattice(4, 5, 1),
    Lattice(64, 127, 64),
]
ALL: list[Quantizer] = [*LOSSY, Raw("float32")]

SHAPES = [
    (),
    (1,),
    (7,),
    (0,),
    (1, 1),
    (3, 5),
    (5, 1),
    (4, 64),
    (2, 3, 4),
    (0, 5),
    (5, 0),
    (2, 0, 3),
]

each = pytest.mark.parametrize("quantizer", ALL, ids=repr)
each_lossy = pytest.mark.parametrize("quantizer", LOSSY, ids=repr)
each_row_alone = pytest.mark.parametrize(
    "quantizer",
    # The points that a trellis allows depend on the rows above, the best on those below.
    [q for q in ALL if not isinstance(q, Lattice) or q.states == 1],
    ids=repr,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.empty(shape).normal_(0, 0.05, generator=torch.Generator().manual_seed(seed))


def assert_same(one: Quantized, other: Quantized) -> None:
    assert one.shape == other.shape
    assert list(one.parts) == list(other.parts)
    for name, symbols in one.parts.items():
        np.testing.assert_array_equal(symbols, other.parts[name])


def test_every_quantizer_of_the_table_is_tried_here() -> None:
    assert {type(quantizer) for quantizer in ALL} == set(QUANTIZERS.values())


@each
def test_config_survives_json(quantizer: Quantizer) -> None:
    written = json.dumps(stage_to_json(quantizer))

    assert stage_from_json(QUANTIZERS, json.loads(written)) == quantizer


@each
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_geometry_follows_from_config_and_shape(
    quantizer: Quantizer, shape: tuple[int, ...]
) -> None:
    quantized = quantizer.quantize(normal(*shape))

    specs = quantizer.parts(shape)
    assert quantized.shape == shape
    assert list(quantized.parts) == [spec.name for spec in specs]
    for spec in specs:
        symbols = quantized.parts[spec.name]
        assert symbols.dtype == np.uint8
        assert symbols.shape == spec.shape
        assert symbols.flags.c_contiguous
        assert not (symbols >= spec.alphabet).any()
    back = quantizer.dequantize(quantized)
    assert back.shape == shape
    assert back.dtype == torch.float32
    assert back.isfinite().all()


@each
@settings(deadline=None)
@given(
    values=arrays(
        np.float32,
        st.tuples(st.integers(0, 5), st.integers(0, 9)),
        elements=st.floats(-400, 400, width=32),
    )
)
def test_any_weights_of_moderate_size_come_back_finite_and_no_larger_than_twice(
    quantizer: Quantizer, values: np.ndarray[tuple[int, int], np.dtype[np.float32]]
) -> None:
    weight = torch.from_numpy(values)

    back = quantizer.dequantize(quantizer.quantize(weight))

    assert back.shape == weight.shape
    # Codes at most 2 on a scale of at most the mean magnitude; every other grid stays inside
    # the row's range but for the rounding of the scale.
    largest = weight.abs().max().item() if weight.numel() else 0.0
    assert (back.abs() <= 2.1 * largest + 1e-5).all()


@each
def test_quantizing_twice_gives_the_same_symbols_and_leaves_the_weight_alone(
    quantizer: Quantizer,
) -> None:
    weight = normal(6, 40)
    before = weight.clone()

    first, second = quantizer.quantize(weight), quantizer.quantize(weight)

    assert_same(first, second)
    assert torch.equal(weight, before)


@each
def test_memory_layout_and_gradients_do_not_matter(quantizer: Quantizer) -> None:
    weight = normal(40, 6)
    transposed = weight.T.requires_grad_()

    assert_same(quantizer.quantize(transposed), quantizer.quantize(weight.T.contiguous()))


@each
def test_rows_are_quantized_alike_whatever_the_size_of_a_chunk(
    quantizer: Quantizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = normal(37, 50)
    whole = quantizer.quantize(weight)
    back = quantizer.dequantize(whole)

    monkeypatch.setattr(weights, "CHUNK_WEIGHTS", 120)

    assert_same(quantizer.quantize(weight), whole)
    assert torch.equal(quantizer.dequantize(whole), back)


@each
@pytest.mark.parametrize("shape", [(100, 700), (70_000,)], ids=str)
def test_the_number_of_threads_does_not_matter(
    quantizer: Quantizer, shape: tuple[int, ...]
) -> None:
    weight = normal(*shape)
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            results.append(quantizer.quantize(weight))
    finally:
        torch.set_num_threads(threads)

    assert_same(*results)


@each_lossy
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_every_float_type_counts_as_its_fp32_values(
    quantizer: Quantizer, dtype: torch.dtype
) -> None:
    weight = normal(5, 30).to(dtype)

    assert_same(quantizer.quantize(weight), quantizer.quantize(weight.float()))


@each
def test_zeros_come_back_as_zeros(quantizer: Quantizer) -> None:
    weight = torch.zeros(3, 70)

    assert torch.equal(quantizer.dequantize(quantizer.quantize(weight)), weight)


@each_row_alone
def test_rows_of_zeros_do_not_touch_the_other_rows(quantizer: Quantizer) -> None:
    weight = normal(4, 64)
    with_zeros = torch.cat((weight, torch.zeros(2, 64)))

    back = quantizer.dequantize(quantizer.quantize(with_zeros))

    assert torch.equal(back[:4], quantizer.dequantize(quantizer.quantize(weight)))
    assert not back[4:].any()


@each
def test_equal_weights_keep_their_sign_and_come_back_within_a_quarter(
    quantizer: Quantizer,
) -> None:
    weight = torch.full((2, 30), -0.125)

    back = quantizer.dequantize(quantizer.quantize(weight))

    # The coarsest: one step of eight levels, asym-int without its outermost positive one.
    assert ((back / weight - 1).abs() <= 0.25).all()


@each_lossy
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_the_first_value_that_is_not_finite_is_named(quantizer: Quantizer, value: float) -> None:
    weight = normal(3, 4, 5)
    weight[2, 1, 3] = weight[2, 3, 0] = value

    with pytest.raises(UsageError, match=rf"^weight {value} at \[2, 1, 3\] is not finite"):
        quantizer.quantize(weight)


@each_lossy
def test_a_float64_beyond_fp32_is_named(quantizer: Quantizer) -> None:
    weight = torch.tensor([0.0, 1e300], dtype=torch.float64)

    with pytest.raises(UsageError, match=r"weight 1e\+300 at \[1\] is not finite in fp32"):
        quantizer.quantize(weight)


@pytest.mark.parametrize("quantizer", [q for q in LOSSY if q != Bf16()], ids=repr)
def test_weights_near_the_end_of_fp32_are_refused_not_lost(quantizer: Quantizer) -> None:
    weight = torch.full((2, 30), 3e38)

    with pytest.raises(UsageError, match=r"fp16|overflows fp8|lattice"):
        quantizer.quantize(weight)


@each_lossy
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
def test_other_types_are_sent_to_raw(quantizer: Quantizer, dtype: torch.dtype) -> None:
    with pytest.raises(UsageError, match="store it as raw"):
        quantizer.quantize(torch.ones(2, 2, dtype=dtype))


def _drop(parts: dict[str, Symbols], name: str) -> None:
    del parts[name]


def _add(parts: dict[str, Symbols], name: str) -> None:
    parts[f"{name}.9"] = parts[name]


def _rename(parts: dict[str, Symbols], name: str) -> None:
    parts[f"{name}.9"] = parts.pop(name)


def _shorten(parts: dict[str, Symbols], name: str) -> None:
    parts[name] = parts[name][:-1]


def _flatten(parts: dict[str, Symbols], name: str) -> None:
    parts[name] = parts[name].ravel()


def _widen(parts: dict[str, Symbols], name: str) -> None:
    parts[name] = np.repeat(parts[name], 2, axis=1)


def _retype(parts: dict[str, Symbols], name: str) -> None:
    parts[name] = parts[name].view(np.int8)


@each
@pytest.mark.parametrize("spoil", [_drop, _add, _rename, _shorten, _flatten, _widen, _retype])
def test_parts_of_another_geometry_are_corrupt(
    quantizer: Quantizer, spoil: Callable[[dict[str, Symbols], str], None]
) -> None:
    """Whichever part it is: codes, or a plane of anything's bytes."""
    good = quantizer.quantize(normal(4, 6)).parts

    for name in good:
        parts = dict(good)
        spoil(parts, name)
        with pytest.raises(CorruptError, match=f"^(the )?part.*{re.escape(repr(name))}"):
            quantizer.dequantize(Quantized((4, 6), parts))


@each
@pytest.mark.parametrize("shape", [(6, 5), (-4, -6), (4, -6), (0, 10**30)], ids=str)
def test_a_shape_that_the_parts_do_not_fit_is_corrupt(
    quantizer: Quantizer, shape: tuple[int, ...]
) -> None:
    parts = quantizer.quantize(torch.zeros(0) if 0 in shape else normal(4, 6)).parts

    with pytest.raises(CorruptError):
        quantizer.dequantize(Quantized(shape, parts))


@each
def test_symbols_outside_their_alphabet_are_corrupt(quantizer: Quantizer) -> None:
    quantized = quantizer.quantize(normal(4, 6))
    small = [spec for spec in quantizer.parts((4, 6)) if spec.alphabet < 256]

    for spec in small:
        parts = {name: symbols.copy() for name, symbols in quantized.parts.items()}
        parts[spec.name].flat[-1] = spec.alphabet
        with pytest.raises(CorruptError, match=f"alphabet is {spec.alphabet}"):
            quantizer.dequantize(Quantized((4, 6), parts))
    assert small or {spec.alphabet for spec in quantizer.parts((4, 6))} == {256}


@each_lossy
@settings(deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_symbols_give_finite_weights_or_are_corrupt(quantizer: Quantizer, seed: int) -> None:
    random = np.random.default_rng(seed)
    parts = {
        spec.name: random.integers(0, spec.alphabet, spec.shape).astype(np.uint8)
        for spec in quantizer.parts((2, 4))
    }

    try:
        back = quantizer.dequantize(Quantized((2, 4), parts))
    except CorruptError:
        return
    assert back.shape == (2, 4)
    assert back.isfinite().all()


@each
def test_read_only_symbols_are_fine(quantizer: Quantizer) -> None:
    quantized = quantizer.quantize(normal(4, 6))
    expected = quantizer.dequantize(quantized)
    for symbols in quantized.parts.values():
        symbols.flags.writeable = False

    assert torch.equal(quantizer.dequantize(quantized), expected)
