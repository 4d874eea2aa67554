"""Bundles decode alone, are small, and refuse what is damaged."""

import ast
import re
import sys
from typing import Any

import cbor2
import pytest
import torch

import artpack
from artpack.artifact.reader import open_artifact
from artpack.errors import ArtpackError, UsageError
from artpack.portable.alone import decode_alone, fingerprint
from artpack.portable.bundle import decoder_source, make_bundle
from artpack.portable.reader import load
from tests.artifact.forging import take_apart
from tests.artifact.golden_cases import FOLDER
from tests.portable.test_reader import forgeries, portable_cases


def portable_artifact() -> bytes:
    weights = {"w": torch.randn(40, 50, generator=torch.Generator().manual_seed(0))}
    return artpack.compress(weights, recipe="int6", portable=True).content()


def decoder_of(source: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "decoder"}
    exec(compile(source, "decoder", "exec"), space)  # noqa: S102 - it is ours
    return space


ALONE = ("adaptive", "corrected", "raws")
"""Those that are decoded in a bare Python every time; nightly all are."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in ALONE else pytest.mark.slow) for n in portable_cases()],
)
def test_it_decodes_golden_artifacts_alone(name: str) -> None:
    result = artpack.bundle(FOLDER / f"{name}.artpack", self_test=True)

    assert result.test is not None
    assert list(result.test.tensors) == list(artpack.load(FOLDER / f"{name}.artpack"))


@pytest.mark.parametrize("name", portable_cases())
def test_it_decodes_golden_artifacts_without_imports_of_ours(name: str) -> None:
    path = FOLDER / f"{name}.artpack"
    with open_artifact(path) as artifact:
        source = decoder_source(artifact.header)

    assert not re.search(r"^\s*(import|from) artpack", source, re.MULTILINE)
    found, wanted = decoder_of(source)["load"](path), load(path)
    assert {key: fingerprint(one) for key, one in found.items()} == {
        key: fingerprint(one) for key, one in wanted.items()
    }

    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    assert {name.partition(".")[0] for name in found} <= {
        *sys.stdlib_module_names,
        "numpy",
        "torch",
    }


def test_it_has_the_stages_of_its_artifact_and_no_others() -> None:
    source = artpack.bundle(FOLDER / "rans.artpack").bundle.source
    assert "class Rans" in source
    assert "class Lattice" not in source
    assert "class Adaptive" not in source


@pytest.mark.parametrize("readable", [False, True])
def test_a_class_holds_all_of_it(*, readable: bool) -> None:
    result = artpack.bundle(portable_artifact(), class_name="Decoder", self_test=True)

    space = decoder_of(result.bundle.source if readable else result.bundle.small)

    assert list(space["Decoder"].load(portable_artifact())) == ["w"]
    with pytest.raises(space["Decoder"].Error, match=r"damaged|bytes"):
        space["Decoder"].load(portable_artifact()[:-1])


def test_tensors_of_torch_are_given_on_demand() -> None:
    load = decoder_of(artpack.bundle(portable_artifact()).bundle.small)["load"]
    with open_artifact(portable_artifact()) as artifact:
        assert torch.equal(load(portable_artifact(), torch=True)["w"], artifact["w"])


def test_decoders_stay_small() -> None:
    draw = torch.Generator().manual_seed(0)
    weights = {f"w{i}": torch.randn(128, 128, generator=draw) for i in range(2)}
    frontier = artpack.compress(weights, budget=12_000, portable=True).content()

    assert artpack.bundle(frontier).bundle.size_bytes <= 12_000
    assert artpack.bundle(FOLDER / "rans.artpack").bundle.size_bytes <= 8_000


def test_the_source_is_a_text_of_ascii() -> None:
    result = artpack.bundle(portable_artifact())
    assert result.bundle.small.isascii()
    assert not set("\0\r") & set(result.bundle.small)
    windows = result.bundle.small.replace("\n", "\r\n")
    assert "load" in decoder_of(windows)


@pytest.mark.parametrize("name", ["codecs", "members"])
def test_an_artifact_that_needs_a_library_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"needs \w+, which decoders without libraries lack"):
        artpack.bundle(FOLDER / f"{name}.artpack")


def test_a_class_needs_a_name() -> None:
    with pytest.raises(UsageError, match="'2x' is no name"):
        artpack.bundle(portable_artifact(), class_name="2x")


def test_every_flipped_byte_and_every_prefix_is_refused() -> None:
    content = portable_artifact()
    space = decoder_of(artpack.bundle(content).bundle.small)
    load, error = space["load"], space["ArtifactError"]
    for size in range(len(content)):
        with pytest.raises(error, match="damaged"):
            load(content[:size])
    flipped = bytearray(content)
    for at in range(len(content)):
        flipped[at] ^= 1 << at % 8
        with pytest.raises(error, match="damaged"):
            load(bytes(flipped))
        flipped[at] ^= 1 << at % 8


def mutations(count: int) -> None:
    content = portable_artifact()
    with open_artifact(content) as artifact:
        space = decoder_of(make_bundle(artifact.header).small)
    header, streams = take_apart(content)
    for forged in forgeries(cbor2.dumps(header, canonical=True), streams, count):
        try:
            space["load"](forged)
        except space["ArtifactError"]:
            continue


def test_mutations_give_no_other_error() -> None:
    mutations(500)


@pytest.mark.slow
def test_many_mutations_give_no_other_error() -> None:
    mutations(20_000)


def test_a_decoder_that_fails_is_told_in_one_line() -> None:
    with pytest.raises(ArtpackError, match=r"the decoder failed: .*no decoder"):
        decode_alone("def load(source): raise ValueError('no decoder')", b"")
    with pytest.raises(ArtpackError, match="must not import brotli"):
        decode_alone("import brotli", b"")
