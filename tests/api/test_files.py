"""artpack.save, artpack.load and artpack.open: what goes in comes out, whatever it is."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import artpack
from artpack.calibration.file import Calibration
from artpack.checkpoint import from_state_dict
from artpack.errors import CheckpointError, CorruptError, UsageError
from artpack.stages import Config

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
OTHERS = (torch.int64, torch.uint8, torch.int8, torch.bool)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.lists(st.integers(0, 7), max_size=4))
    dtype = draw(st.sampled_from(FLOATS + OTHERS))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    values = 5 * torch.randn(shape, generator=generator)
    return values > 0 if dtype is torch.bool else values.to(dtype)


names = st.text(min_size=1, max_size=12)
slow = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@slow
@given(state=st.dictionaries(names, tensors(), min_size=1, max_size=5))
def test_lossless_gives_everything_back(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "a.artpack"
    size = artpack.save(state, path, recipe="lossless", profile="fast")
    back = artpack.load(path)
    assert size == path.stat().st_size
    assert list(back) == list(state)
    for name, tensor in state.items():
        assert back[name].dtype == tensor.dtype
        assert torch.equal(back[name], tensor)


@slow
@given(
    state=st.dictionaries(names, tensors(), min_size=1, max_size=4),
    recipe=st.sampled_from(["int6", "int8", "int4", "quinary", "ternary"]),
)
def test_lossy_recipes_keep_names_shapes_and_dtypes(
    tmp_path: Path, state: dict[str, torch.Tensor], recipe: str
) -> None:
    path = tmp_path / "a.artpack"
    artpack.save(state, path, recipe=recipe, profile="fast")
    back = artpack.load(path)
    assert list(back) == list(state)
    for name, tensor in state.items():
        assert (back[name].shape, back[name].dtype) == (tensor.shape, tensor.dtype)
        assert torch.isfinite(back[name].double()).all()
        if not tensor.dtype.is_floating_point:
            assert torch.equal(back[name], tensor)


def model() -> dict[str, torch.Tensor]:
    """Return a state dict with a tie, a bank, an integer and a fused projection."""
    generator = torch.Generator().manual_seed(1)
    embedding = torch.randn(40, 16, generator=generator)
    return {
        "tok_emb.weight": embedding,
        "qo_bank": torch.randn(4, 16, 16, generator=generator),
        "step": torch.tensor(7),
        "blocks.0.c_qkv.weight": torch.randn(32, 16, generator=generator),
        "norm": torch.ones(16),
        "lm_head.weight": embedding,
    }


def test_ties_and_banks_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "a.artpack"
    state = model()
    artpack.save(state, path, recipe="lossless", profile="fast")
    back = artpack.load(path)
    assert list(back) == list(state)
    assert back["lm_head.weight"] is back["tok_emb.weight"]
    assert torch.equal(back["qo_bank"], state["qo_bank"])


def test_single_tensors_are_read_without_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.artpack"
    state = model()
    artpack.save(state, path, recipe="lossless", profile="fast")
    with artpack.open(path) as artifact:
        assert tuple(artifact) == artifact.names == tuple(state)
        assert len(artifact) == len(state)
        for name, tensor in state.items():
            assert torch.equal(artifact[name], tensor)


def test_only_the_streams_of_a_tensor_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.artpack"
    artpack.save(model(), path, recipe="lossless", profile="fast")
    read: list[int] = []
    stored_stream = artpack.Artifact.stored_stream

    def watched(artifact: artpack.Artifact, index: int) -> bytes:
        read.append(index)
        return stored_stream(artifact, index)

    monkeypatch.setattr(artpack.Artifact, "stored_stream", watched)
    with artpack.open(path) as artifact:
        assert torch.equal(artifact["norm"], torch.ones(16))
        assert 0 < len(read) < len(artifact.header.records)


def test_a_name_that_is_not_there_is_a_key_error(tmp_path: Path) -> None:
    path = tmp_path / "a.artpack"
    artpack.save(model(), path, recipe="lossless", profile="fast")
    with artpack.open(path) as artifact, pytest.raises(KeyError, match="nobody"):
        artifact["nobody"]


def test_another_dtype_can_be_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.artpack"
    artpack.save(model(), path, recipe="int6", profile="fast")
    back = artpack.load(path, dtype=torch.bfloat16)
    assert back["norm"].dtype == torch.bfloat16
    assert back["step"].dtype == torch.int64


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_no_number_is_named(tmp_path: Path, value: float) -> None:
    state = model()
    state["blocks.0.c_qkv.weight"][3, 5] = value
    with pytest.raises(CheckpointError, match=r"'blocks\.0\.c_qkv\.weight'.*3, 5"):
        artpack.save(state, tmp_path / "a.artpack")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'fast'"):
        artpack.save(model(), tmp_path / "a.artpack", profile="fats")


def test_load_checks_the_trailer(tmp_path: Path) -> None:
    path = tmp_path / "a.artpack"
    artpack.save(model(), path, profile="fast")
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CorruptError, match="trailer"):
        artpack.load(path)


def test_the_frontier_works_without_data_and_is_not_stored_as_a_plain_grid(tmp_path: Path) -> None:
    weight = torch.randn(128, 256, generator=torch.Generator().manual_seed(0))
    size = artpack.save({"weight": weight}, tmp_path / "a.bin", recipe="frontier", profile="fast")
    back = artpack.load(tmp_path / "a.bin")["weight"]
    assert 3.5 < 8 * size / weight.numel() < 5
    # What 4 bits a weight and a trellis of 64 states give; a plain grid needs a quarter bit more.
    assert float((back - weight).norm() / weight.norm()) < 0.07


WEIGHTS = {"fc.weight": torch.eye(64), "fc.bias": torch.zeros(64)}


def calibration_of(weights: Mapping[str, Tensor], hessian: Tensor) -> Calibration:
    with from_state_dict(weights) as checkpoint:
        fingerprint: Config = {"weights_sha256": checkpoint.weights_sha256}
    return Calibration({"fc.weight": hessian}, {}, {}, 1, fingerprint)


@pytest.mark.parametrize(
    ("weights", "hessian", "message"),
    [
        ({**WEIGHTS, "fc.bias": torch.ones(64)}, torch.eye(64), "is for other weights"),
        (WEIGHTS, torch.eye(32), r"hessians \[32, 32\] for 'fc.weight'"),
        (WEIGHTS, -torch.eye(64), "negative element on its diagonal"),
        (WEIGHTS, torch.eye(64).double(), "has no place in a calibration"),
    ],
)
def test_a_calibration_of_something_else_is_refused(
    tmp_path: Path, weights: dict[str, Tensor], hessian: Tensor, message: str
) -> None:
    calibration = calibration_of(weights, hessian)
    with pytest.raises(UsageError, match=message):
        artpack.save(WEIGHTS, tmp_path / "a", calibration=calibration, profile="fast")
    assert not (tmp_path / "a").exists()


def test_the_calibration_of_these_weights_is_taken(tmp_path: Path) -> None:
    calibration = calibration_of(WEIGHTS, torch.eye(64))
    assert artpack.save(WEIGHTS, tmp_path / "a", calibration=calibration, profile="fast")
