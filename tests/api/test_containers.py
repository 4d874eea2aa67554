"""artpack.import_container and artpack.export_container: the same integers, there and back."""

from pathlib import Path

import pytest
import torch

import artpack
from artpack.errors import ArtifactError, TruncatedError, UsageError
from artpack.interop import write_container
from tests.api.conftest import Told
from tests.interop.containers import make


@pytest.fixture(scope="module")
def content() -> bytes:
    return write_container(make("torch-zstd"), "torch-zstd")


def test_a_container_comes_back_byte_for_byte(content: bytes, told: Told, tmp_path: Path) -> None:
    imported = artpack.import_container(content, profile="fast", progress=told)
    assert (imported.format, imported.system, imported.tensors) == ("torch-zstd", "pr576", 6)
    assert imported.source_bytes == len(content)
    assert imported.notes[-1] == "the artifact can be unpacked, but not scored without `model`"
    told.check(*told.phases)
    assert told.phases
    assert imported.save(tmp_path / "a.artpack") == imported.size_bytes
    weights = artpack.load(tmp_path / "a.artpack")
    wanted = make("torch-zstd").weights()
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    with artpack.open(tmp_path / "a.artpack") as opened:
        for source in (tmp_path / "a.artpack", imported.content(), opened):
            exported = artpack.export_container(source, "torch-zstd")
            assert exported.data == content
            assert (exported.tensors, exported.source_bytes) == (6, imported.size_bytes)
    assert exported.save(tmp_path / "again") == exported.size_bytes == len(content)
    assert repr(imported) == (
        f"<ImportResult of torch-zstd (pr576): 6 tensors, {len(content):,} ->"
        f" {imported.size_bytes:,} bytes>"
    )
    assert repr(exported) == (
        f"<ExportResult in torch-zstd (pr576): 6 tensors, {imported.size_bytes:,} ->"
        f" {len(content):,} bytes>"
    )


def test_a_file_is_named_in_what_is_wrong_with_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.ptz"
    path.write_bytes(content[:-5])
    with pytest.raises(ArtifactError, match=f"^{path}: zstd: the stream ends early"):
        artpack.import_container(path)
    with pytest.raises(TruncatedError, match="the file is empty"):
        artpack.import_container(b"")
    packed = artpack.import_container(content, profile="fast").content()
    with pytest.raises(UsageError, match="an artpack artifact already"):
        artpack.import_container(packed)
    with pytest.raises(UsageError, match="did you mean 'torch-zstd'"):
        artpack.export_container(packed, "torch-zst")
