"""The reader in numpy alone gives what the other one gives, and refuses what it refuses."""

import contextlib
import random
from collections.abc import Iterator

import cbor2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import artpack
from artpack.artifact.reader import open_artifact
from artpack.errors import ArtifactError, UsageError
from artpack.portable.bundle import check_portable
from artpack.portable.cbor import read_cbor
from artpack.portable.reader import load
from tests.artifact.forging import forge, put_together, sealed, small_artifact, take_apart
from tests.artifact.golden_cases import CASES, FOLDER
from tests.artifact.test_hostile import FRONTS, LIES


def portable_cases() -> list[str]:
    names = []
    for name in CASES:
        with open_artifact(FOLDER / f"{name}.artpack") as artifact:
            try:
                check_portable(artifact.header)
            except UsageError:
                continue
        names.append(name)
    return names


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    flat = [one.contiguous().reshape(-1).view(torch.uint8) for one in (a, b)]
    return (a.dtype, a.shape) == (b.dtype, b.shape) and torch.equal(*flat)


def test_only_cases_with_libraries_are_left_out() -> None:
    assert set(CASES) - set(portable_cases()) == {"codecs", "lrzip", "members"}


@pytest.mark.parametrize("name", portable_cases())
def test_golden_artifacts_become_the_same_tensors(name: str) -> None:
    path = FOLDER / f"{name}.artpack"
    wanted = artpack.load(path)

    found = load(path, torch=True)

    assert list(found) == list(wanted)
    assert all(same(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("name", portable_cases())
def test_arrays_have_the_values_of_the_tensors(name: str) -> None:
    path = FOLDER / f"{name}.artpack"

    found = load(path)

    for key, tensor in artpack.load(path).items():
        if str(tensor.dtype).removeprefix("torch.") in {"float64", "float32", "float16", "int64"}:
            assert found[key].dtype == tensor.numpy().dtype
            np.testing.assert_array_equal(found[key], tensor.numpy())
        elif tensor.dtype.is_floating_point and "float4" not in str(tensor.dtype):
            np.testing.assert_array_equal(found[key], tensor.float().numpy())


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_weights_are_rounded_as_torch_rounds(dtype: str) -> None:
    draw = np.random.default_rng(0).normal(size=(32, 512)) * np.exp2(np.arange(-16, 16))[:, None]
    weights = torch.from_numpy(draw.clip(-400, 400)).to(getattr(torch, dtype))
    packed = artpack.compress({"w": weights}, recipe="int8", profile="fast").content()

    found = load(packed)["w"]

    with open_artifact(packed) as artifact:
        np.testing.assert_array_equal(found, artifact["w"].float().numpy())


LONG = {"a bomb", "a million members"}
"""What takes seconds to forge."""


@pytest.mark.parametrize(
    "lie", [pytest.param(lie, marks=pytest.mark.slow if lie in LONG else ()) for lie in LIES]
)
def test_a_lie_is_refused_or_changes_nothing(lie: str) -> None:
    wanted = load(small_artifact(), torch=True)
    try:
        found = load(forge(LIES[lie][0]), torch=True)
    except ArtifactError:
        return
    assert list(found) == list(wanted)
    assert all(same(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("lie", FRONTS)
def test_lies_of_the_preamble_are_refused(lie: str) -> None:
    front, error, words = FRONTS[lie]
    with pytest.raises(error, match=words):
        load(sealed(front, bytes(20)))


@pytest.mark.parametrize("recipe", ["int6", "lossless"])
def test_headers_with_random_bytes_give_no_other_error(recipe: str) -> None:
    header, streams = take_apart(small_artifact(recipe))
    for content in forgeries(cbor2.dumps(header, canonical=True), streams, 300):
        with contextlib.suppress(ArtifactError):
            load(content)


def forgeries(header: bytes, streams: list[bytes], count: int) -> Iterator[bytes]:
    """Yield files with wrong bytes in header or streams, and all hashes of the file right."""
    draw = random.Random(0)
    for _ in range(count):
        changed, others = bytearray(header), [bytearray(stream) for stream in streams]
        for _ in range(draw.randint(1, 4)):
            where = draw.choice([changed, changed, *filter(None, others)])
            where[draw.randrange(len(where))] = draw.randrange(256)
        yield put_together(bytes(changed), [bytes(one) for one in others])


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(1 << 63), (1 << 63) - 1)
        | st.floats()
        | st.text(max_size=20)
        | st.binary(max_size=40),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=20,
    )
)
def test_cbor_is_read_as_the_library_reads_it(value: object) -> None:
    data = cbor2.dumps(value, canonical=True)
    assert repr(read_cbor(data)) == repr(cbor2.loads(data))


@pytest.mark.parametrize("data", [b"", b"\xa1", b"\x81", b"\x5b" + bytes(8) + b"x", b"\xc0\x00"])
def test_what_is_no_cbor_of_a_header_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        read_cbor(data)
