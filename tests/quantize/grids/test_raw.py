"""Raw tensors: every type, bit for bit."""

import numpy as np
import pytest
import torch

from artpack.errors import CorruptError, UsageError
from artpack.quantize.grids.raw import DTYPES, Raw
from artpack.stages.symbols import Quantized


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (2, 3, 4)], ids=str)
def test_any_bytes_of_any_type_survive(dtype: str, shape: tuple[int, ...]) -> None:
    """NaN payloads, infinities and minus zero among them."""
    stage = Raw(dtype)
    random = np.random.default_rng(1)
    parts = {
        spec.name: random.integers(0, spec.alphabet, spec.shape).astype(np.uint8)
        for spec in stage.parts(shape)
    }

    tensor = stage.dequantize(Quantized(shape, parts))

    assert tensor.dtype == DTYPES[dtype]
    assert tensor.shape == shape
    assert len(parts) == tensor.itemsize
    again = stage.quantize(tensor).parts
    assert list(again) == list(parts)
    for name, plane in parts.items():
        np.testing.assert_array_equal(again[name], plane)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_signs_go_last_and_come_back_bit_for_bit(dtype: str, count: int) -> None:
    stage = Raw.of(dtype)
    assert stage == Raw(dtype, sign_last=True)
    size = DTYPES[dtype].itemsize
    content = np.random.default_rng(count).integers(0, 256, count * size).astype(np.uint8)
    weight = torch.frombuffer(bytearray(content), dtype=DTYPES[dtype]) if count else torch.empty(0)
    weight = weight.to(DTYPES[dtype])
    quantized = stage.quantize(weight)
    planes = [quantized.parts[f"data.{byte}"].ravel() for byte in range(size)]
    for number, *planed in zip(content.view(f"<u{size}").tolist(), *planes, strict=True):
        signs_last = number << 1 & (1 << 8 * size) - 1 | number >> 8 * size - 1
        assert int.from_bytes(bytes(planed), "little") == signs_last
    back = stage.dequantize(quantized)
    assert torch.equal(back.view(torch.uint8), weight.view(torch.uint8))


def test_exponents_have_a_plane_of_their_own() -> None:
    weight = torch.tensor([1.0, -1.0, 1.5, -1.75], dtype=torch.bfloat16)
    assert Raw.of("bfloat16").quantize(weight).parts["data.1"].ravel().tolist() == [127] * 4


@pytest.mark.parametrize("dtype", ["int32", "float8_e4m3fn", "complex64", "bool"])
def test_only_floats_have_signs_to_move(dtype: str) -> None:
    assert Raw.of(dtype) == Raw(dtype)
    with pytest.raises(UsageError, match="sign_last is for float64, float32"):
        Raw(dtype, sign_last=True)


def test_files_without_the_field_are_read_as_they_were() -> None:
    assert Raw.from_config({"dtype": "float32"}) == Raw("float32")
    assert Raw("float32").config() == {"dtype": "float32"}
    assert Raw.of("float32").config() == {"dtype": "float32", "sign_last": True}


def test_planes_begin_with_the_least_significant_byte() -> None:
    quantized = Raw("int32").quantize(torch.tensor([0x04030201, -2], dtype=torch.int32))

    assert {name: plane.tolist() for name, plane in quantized.parts.items()} == {
        "data.0": [[1], [254]],
        "data.1": [[2], [255]],
        "data.2": [[3], [255]],
        "data.3": [[4], [255]],
    }


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_values_do_not_change_when_the_weight_does(dtype: str) -> None:
    weight = torch.ones(3, dtype=DTYPES[dtype])
    quantized = Raw(dtype).quantize(weight)
    weight.zero_()
    back = Raw(dtype).dequantize(quantized)

    for plane in quantized.parts.values():
        plane[:] = 0

    assert back.tolist() == [1, 1, 1]


def test_a_bool_is_zero_or_one() -> None:
    data = np.array([[0], [1], [2]], np.uint8)

    with pytest.raises(CorruptError, match="symbol 2, its alphabet is 2"):
        Raw("bool").dequantize(Quantized((3,), {"data": data}))


def test_a_tensor_of_another_type_is_refused() -> None:
    with pytest.raises(UsageError, match=r"raw fp32 cannot hold torch\.int64"):
        Raw("float32").quantize(torch.tensor([1]))


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'float32'"):
        Raw("float3")


def test_labels() -> None:
    labels = [Raw(dtype).label for dtype in ("float64", "float32", "bfloat16", "int64", "bool")]

    assert labels == ["raw fp64", "raw fp32", "raw bf16", "raw int64", "raw bool"]
