"""``artpack.compare``."""

from pathlib import Path
from typing import Any

import pytest
import torch

import artpack
from artpack import Settings, UsageError, WindowOptions
from artpack.errors import CheckpointError
from tests.api.conftest import Told
from tests.checkpoint import gguf_cases


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Write a checkpoint with a tie, itself packed, and another."""
    draw = torch.Generator().manual_seed(0)
    table = torch.randn(64, 32, generator=draw)
    weights = {
        "embed_tokens.weight": table,
        "layers.0.fc.weight": torch.randn(32, 32, generator=draw),
        "layers.1.fc.weight": torch.randn(32, 32, generator=draw),
        "lm_head.weight": table,
    }
    torch.save(weights, tmp_path / "a.pt")
    doubled = {name: 2 * one for name, one in weights.items() if name != "lm_head.weight"}
    torch.save({**doubled, "extra": torch.ones(8)}, tmp_path / "b.pt")
    artpack.save(weights, tmp_path / "a.artpack", recipe="lossless")
    return tmp_path


def test_bytes_errors_and_roles(files: Path, told: Told) -> None:
    paths = [files / name for name in ("a.pt", "a.artpack", "b.pt")]
    found = artpack.compare(paths, progress=told)
    told.check("comparing")
    assert found.reference == str(paths[0])
    assert [one.file_bytes for one in found.files] == [path.stat().st_size for path in paths]
    rows = {row.name: row for row in found.tensors}
    # The tie costs nothing anywhere and has no row.
    assert list(rows) == [
        "embed_tokens.weight",
        "layers.0.fc.weight",
        "layers.1.fc.weight",
        "extra",
    ]
    assert list(rows["layers.0.fc.weight"].bytes[::2]) == [4096, 4096]
    assert list(rows["layers.0.fc.weight"].errors) == [0, 0, 1]
    assert rows["layers.0.fc.weight"].grids == ("fp32", "raw fp32", "fp32")
    assert rows["extra"].bytes == (None, None, 32)
    assert rows["extra"].errors == (None, None, None)
    roles = {row.name: row for row in found.roles}
    matrices = roles["layers.#.fc.weight"]
    assert (matrices.weights, matrices.bytes[0]) == (2048, 8192)
    assert matrices.bits_per_weight[0] == 32
    assert [one.error for one in found.files] == [0, 0, 1]
    assert any("'extra'" in note for note in found.notes)
    for i, one in enumerate(found.files):
        assert one.file_bytes - one.other_bytes == sum(row.bytes[i] or 0 for row in found.tensors)


def test_another_reference(files: Path) -> None:
    found = artpack.compare([files / "a.pt"], reference=files / "b.pt")
    assert found.files[0].error == 0.5
    assert found.to_json()["reference"] == str(files / "b.pt")
    assert repr(found).startswith(f"<CompareResult against {files / 'b.pt'}: ")


def test_a_gguf_has_the_bytes_that_it_has(tmp_path: Path) -> None:
    path = gguf_cases.llama(tmp_path / "a.gguf")
    found = artpack.compare([path, path])
    packed = next(row for row in found.tensors if row.name.endswith("q_proj.weight"))
    assert packed.bits_per_weight == (8.5, 8.5)
    assert packed.grids == ("Q8_0", "Q8_0")


def test_scores_are_those_of_evaluate(small: Path) -> None:
    packed = small / "a.artpack"
    artpack.compress(small / "ckpt.pt", recipe="int4", profile="fast").save(packed)
    tokens: dict[str, Any] = {"tokens": small / "val.bin", "tokenizer": small / "sp.model"}
    windows = WindowOptions(window_tokens=32)
    found = artpack.compare(
        [small / "ckpt.pt", packed], windows=windows, settings=Settings(), **tokens
    )
    alone = artpack.evaluate(packed, windows=windows, baseline=small / "ckpt.pt", **tokens)
    assert found.files[1].score == alone.score
    assert found.files[1].comparison == alone.comparison
    assert alone.comparison is not None
    assert found.files[0].score == alone.comparison.baseline
    assert found.files[0].comparison is None
    own = artpack.compare([packed], reference=packed, windows=windows, **tokens)
    assert own.files[0].score == alone.score


def test_what_cannot_be_compared_is_said(files: Path) -> None:
    with pytest.raises(UsageError, match="two files are compared, or one and a `reference`"):
        artpack.compare([files / "a.pt"])
    with pytest.raises(CheckpointError, match="no such file"):
        artpack.compare([files / "a.pt", files / "c.pt"])
