"""Values as planes of their bytes: names, order, and planes from a stranger."""

import numpy as np
import pytest
import torch

from artpack.errors import CorruptError
from artpack.quantize.grids.raw import DTYPES
from artpack.quantize.parts import byte_planes, check_parts, join_bytes, split_bytes
from artpack.stages.symbols import PartSpec, Quantized, Symbols


def good_planes() -> dict[str, Symbols]:
    return split_bytes("data", torch.tensor([1.0, -2.0, 0.5], dtype=torch.float16))


def check(parts: dict[str, Symbols]) -> None:
    check_parts(Quantized((3,), parts), byte_planes("data", 3, torch.float16))


def test_planes_are_numbered_unless_there_is_only_one() -> None:
    assert byte_planes("data", 7, torch.float16) == (
        PartSpec("data.0", 7, 1, 256),
        PartSpec("data.1", 7, 1, 256),
    )
    assert byte_planes("data", 7, torch.uint8) == (PartSpec("data", 7, 1, 256),)
    assert byte_planes("data", 7, torch.bool) == (PartSpec("data", 7, 1, 2),)


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
@pytest.mark.parametrize("count", [0, 1, 5])
def test_planes_are_the_bytes_of_the_values_in_order(dtype: torch.dtype, count: int) -> None:
    random = np.random.default_rng(count)
    data = random.integers(0, 2 if dtype == torch.bool else 256, (count, dtype.itemsize))
    data = data.astype(np.uint8)
    values = torch.frombuffer(bytearray(data.tobytes()), dtype=dtype) if count else None
    values = torch.empty(0, dtype=dtype) if values is None else values

    planes = split_bytes("data", values)

    specs = byte_planes("data", count, dtype)
    assert list(planes) == [spec.name for spec in specs]
    for byte, spec in enumerate(specs):
        assert planes[spec.name].shape == spec.shape
        assert planes[spec.name].flags.c_contiguous
        np.testing.assert_array_equal(planes[spec.name].ravel(), data[:, byte])
    back = join_bytes("data", planes, dtype)
    assert back.dtype == dtype
    assert back.view(torch.uint8).numpy().tobytes() == data.tobytes()


def test_other_parts_beside_the_planes_are_left_alone() -> None:
    parts = {"codes": np.zeros((2, 2), np.uint8), **good_planes()}

    assert join_bytes("data", parts, torch.float16).tolist() == [1.0, -2.0, 0.5]


def test_planes_of_the_right_geometry_pass() -> None:
    check(good_planes())


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 1), np.uint8),
        np.zeros((4, 1), np.uint8),
        np.zeros((1, 3), np.uint8),
        np.zeros((3, 2), np.uint8),
        np.zeros((3,), np.uint8),
        np.zeros((0, 0), np.uint8),
    ],
    ids=lambda wrong: str(wrong.shape),
)
@pytest.mark.parametrize("plane", ["data.0", "data.1"])
def test_a_plane_of_another_shape_is_corrupt(plane: str, wrong: Symbols) -> None:
    with pytest.raises(CorruptError, match=rf"part '{plane}' must be uint8 of shape \(3, 1\)"):
        check({**good_planes(), plane: wrong})


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("data",),
        ("data.0",),
        ("data.1",),
        ("data.1", "data.2"),
        ("data.0", "data.1", "data.2"),
        ("data", "data.0", "data.1"),
    ],
    ids=str,
)
def test_missing_and_surplus_planes_are_corrupt(names: tuple[str, ...]) -> None:
    with pytest.raises(CorruptError, match=r"the parts must be \['data\.0', 'data\.1'\]"):
        check({name: np.zeros((3, 1), np.uint8) for name in names})
