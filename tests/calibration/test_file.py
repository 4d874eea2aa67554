"""The calibration file: what is written is read, and nothing else is."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from artpack.calibration.file import (
    FORMAT,
    KINDS,
    Calibration,
    hash_config,
    read_calibration,
    write_calibration,
)
from artpack.errors import UsageError
from artpack.stages import Config

SHAPES = {"emb.weight": (5, 3), "fc.weight": (2, 3), "gain": (3,)}
FINGERPRINT: Config = {
    "weights_sha256": "w",
    "model_sha256": "m",
    "tokens_sha256": "t",
    "settings": {},
}
METADATA = {"format": FORMAT, "tokens": "7", "fingerprint": "{}"}


def moments(size: int) -> Tensor:
    """Return the mean of products of random inputs."""
    inputs = torch.randn(4 * size, size)
    return inputs.T @ inputs / (4 * size)


@pytest.fixture
def calibration() -> Calibration:
    torch.manual_seed(0)
    return Calibration(
        hessians={"emb.weight": moments(3), "fc.weight": moments(3)},
        row_information={"emb.weight": torch.rand(5), "fc.weight": torch.rand(2)},
        lookup_information={"emb.weight": torch.rand(5)},
        tokens=7,
        fingerprint=dict(FINGERPRINT),
        output_covariances={"fc.weight": moments(2)},
    )


def test_what_is_written_is_read(tmp_path: Path, calibration: Calibration) -> None:
    path = tmp_path / "a.calibration"
    assert write_calibration(path, calibration) == path.stat().st_size
    read = read_calibration(path)
    assert (read.tokens, read.fingerprint) == (7, FINGERPRINT)
    for kind in KINDS:
        ours, theirs = getattr(read, kind), getattr(calibration, kind)
        assert list(ours) == list(theirs)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_file_that_changes_while_it_is_used_is_refused(
    tmp_path: Path, calibration: Calibration
) -> None:
    path = tmp_path / "a.calibration"
    write_calibration(path, calibration)
    read = read_calibration(path)
    write_calibration(path, calibration)
    with pytest.raises(UsageError, match=r"a\.calibration: changed while it was being used"):
        read.hessians["fc.weight"]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, calibration: Calibration) -> None:
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        write_calibration(path, calibration)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_anybody_reads_it_as_safetensors(tmp_path: Path, calibration: Calibration) -> None:
    write_calibration(tmp_path / "a", calibration)
    assert set(load_file(tmp_path / "a")) == {
        "hessians/emb.weight",
        "hessians/fc.weight",
        "row_information/emb.weight",
        "row_information/fc.weight",
        "lookup_information/emb.weight",
        "output_covariances/fc.weight",
    }


def test_it_fits_its_own_weights(calibration: Calibration) -> None:
    calibration.check_fit(SHAPES, weights_sha256="w", model_sha256="m")
    calibration.check_fit(SHAPES, weights_sha256="w")


@pytest.mark.parametrize(
    ("shapes", "weights", "model", "message"),
    [
        (SHAPES, "x", "m", "for other weights"),
        (SHAPES, "w", "x", "for another model"),
        ({**SHAPES, "fc.weight": (2, 4)}, "w", "m", r"hessians \[3, 3\] for 'fc.weight', which is"),
        ({**SHAPES, "fc.weight": (3, 3)}, "w", "m", r"row_information \[2\] for 'fc.weight'"),
        ({"emb.weight": (5, 3)}, "w", "m", r"'fc.weight', which is \[\] here"),
        ({**SHAPES, "fc.weight": (2, 3, 2)}, "w", "m", r"is \[2, 3, 2\] here"),
        ({**SHAPES, "fc.weight": (3,)}, "w", "m", r"is \[3\] here"),
    ],
)
def test_it_fits_nothing_else(
    calibration: Calibration,
    shapes: Mapping[str, tuple[int, ...]],
    weights: str,
    model: str,
    message: str,
) -> None:
    with pytest.raises(UsageError, match=message):
        calibration.check_fit(shapes, weights_sha256=weights, model_sha256=model)


def test_a_fingerprint_that_says_nothing_fits_nothing(calibration: Calibration) -> None:
    with pytest.raises(UsageError, match="other weights"):
        replace(calibration, fingerprint={}).check_fit(SHAPES, weights_sha256="w")


def test_a_config_has_one_hash_whatever_the_order() -> None:
    assert hash_config({"a": 1, "b": [2]}) == hash_config({"b": [2], "a": 1})
    assert hash_config({"a": 1}) != hash_config({"a": 2})


def wrong_tensor(tensors: Mapping[str, Tensor]) -> Callable[[Path], None]:
    return lambda path: save_file(dict(tensors), path, METADATA)


def wrong_metadata(**metadata: str) -> Callable[[Path], None]:
    return lambda path: save_file({}, path, METADATA | metadata)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda _: None, "no such calibration file"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(b"\xff" * 100), "damaged"),
        (lambda path: save_file({"w": torch.zeros(1)}, path), "not a calibration file"),
        (wrong_metadata(format="artpack-calibration-2"), "not a calibration file"),
        (wrong_metadata(tokens="many"), "damaged"),
        (wrong_metadata(tokens="0"), "damaged"),
        (wrong_metadata(fingerprint="["), "damaged"),
        (wrong_metadata(fingerprint="[" * 100_000), "damaged"),
        (wrong_metadata(fingerprint="[]"), "damaged"),
        (wrong_tensor({"w": torch.zeros(1)}), "'w' has no place"),
        (wrong_tensor({"hessians/w": torch.zeros(1).half()}), "'hessians/w' has no place"),
        (wrong_tensor({"hessians/w": torch.full((1, 1), torch.nan)}), "is not finite"),
        (wrong_tensor({"hessians/w": torch.ones(2)}), r"has no place .* \[2\]"),
        (wrong_tensor({"hessians/w": torch.ones(2, 3)}), "not square"),
        (wrong_tensor({"hessians/w": torch.zeros(2, 2)}), "is all zero"),
        (wrong_tensor({"hessians/w": torch.tensor([[1, 0.5], [0.4, 1]])}), "is not symmetric"),
        (
            wrong_tensor({"output_covariances/w": torch.tensor([[1, 0.5], [0.4, 1]])}),
            "is not symmetric",
        ),
        (wrong_tensor({"hessians/w": torch.diag(torch.tensor([1.0, -1]))}), "on its diagonal"),
        (
            wrong_tensor({"output_covariances/w": torch.diag(torch.tensor([1.0, -1]))}),
            "on its diagonal",
        ),
        (wrong_tensor({"hessians/w": torch.tensor([[1, 2.0], [2, 1]])}), "larger than its squares"),
        (wrong_tensor({"hessians/w": torch.tensor([[1, 2.0], [2, 0]])}), "larger than its squares"),
        (wrong_tensor({"row_information/w": torch.tensor([1.0, -1])}), "negative element"),
        (wrong_tensor({"lookup_information/w": torch.tensor([1.0, -1])}), "negative element"),
        (wrong_tensor({"row_information/w": torch.zeros(2)}), "is all zero"),
        (wrong_tensor({"row_information/w": torch.ones(2, 2)}), r"has no place .* \[2, 2\]"),
        (wrong_metadata(tokens="1" * 5000), "damaged"),
        (wrong_metadata(tokens="1.5"), "damaged"),
        (wrong_metadata(fingerprint="NaN"), "damaged"),
    ],
)
def test_anything_else_is_refused_in_one_line(
    tmp_path: Path, write: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "a"
    write(path)
    with pytest.raises(UsageError, match=message) as error:
        read_calibration(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_products_of_inputs_whose_squares_are_0_in_float32_are_no_fault(
    tmp_path: Path, calibration: Calibration
) -> None:
    x = torch.tensor([[1e-24, 1.0], [3e-24, 2.0]])
    moments = x.T @ x
    assert moments[0, 0] == 0 < moments[0, 1]
    path = tmp_path / "c.st"
    write_calibration(path, replace(calibration, hessians={"w": moments}))
    assert read_calibration(path).hessians["w"].equal(moments)


def test_every_shorter_file_is_refused(tmp_path: Path, calibration: Calibration) -> None:
    path = tmp_path / "a"
    write_calibration(path, calibration)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(UsageError, match="damaged"):
            read_calibration(path)
