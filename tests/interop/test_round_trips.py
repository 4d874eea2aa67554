"""What is written in a format is read from it, through an artifact too."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from artpack.artifact.reader import open_artifact
from artpack.coding.profiles import FAST
from artpack.errors import CorruptError, UsageError
from artpack.interop import (
    FORMATS,
    Container,
    StoredTensor,
    from_artifact,
    read_container,
    repack,
    write_container,
)
from artpack.interop.archive import read_archive, write_archive
from artpack.interop.codes import row_int
from artpack.interop.pr826 import torch_lzma
from artpack.interop.pr1123.rans_kernel import decode, encode, frequencies
from artpack.interop.pr1934.shuffle import shuffle, unshuffle
from artpack.interop.pr2086 import per_stream
from artpack.interop.pr2086.five_levels import LAYOUTS, lay_out, take_up
from artpack.interop.wrapping import Allowance, decode_xz, unwrap
from artpack.quantize import Fp16, Raw, RowAsymInt
from artpack.stages.symbols import Symbols, histogram
from tests.interop.containers import (
    INT5,
    INT8,
    NAMES,
    QUINARY,
    check_same,
    make,
    stored,
    weight,
)

pytestmark = pytest.mark.usefixtures("quick_xz")


@pytest.mark.parametrize("name", NAMES)
def test_a_container_comes_back(name: str) -> None:
    container = make(name)
    check_same(read_container(write_container(container, name)), container)


@pytest.mark.parametrize("name", NAMES)
def test_a_container_goes_through_an_artifact_and_comes_out_byte_for_byte(name: str) -> None:
    container = make(name)
    content = write_container(container, name)
    packed = repack(read_container(content), sha256="ab" * 32, profile=FAST)
    with open_artifact(packed.content()) as artifact:
        provenance = artifact.header.provenance
        assert provenance["container"] == name
        assert provenance["source_sha256"] == "ab" * 32
        loaded, want = artifact.load(), container.weights()
        assert list(loaded) == list(want)
        assert {n: t.dtype for n, t in loaded.items()} == {n: t.dtype for n, t in want.items()}
        assert all(torch.equal(loaded[n], want[n]) for n in want)
        assert write_container(from_artifact(artifact, name), name) == content


def test_matrices_of_all_layers_come_back_in_their_bank() -> None:
    shapes = make("byte-shuffle").shapes
    assert list(shapes)[:2] == ["qo_bank", "mlp_up_bank"]
    assert (shapes["qo_bank"], shapes["mlp_up_bank"]) == ((4, 16, 16), (2, 24, 16))
    weights = make("byte-shuffle").weights()
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == shapes
    slices = {tensor.name: tensor.weight() for tensor in make("byte-shuffle").tensors}
    assert torch.equal(weights["qo_bank"][1], slices["blocks.1.attn.c_q.weight"])
    assert torch.equal(weights["qo_bank"][2], slices["blocks.0.attn.proj.weight"])


def test_a_bank_that_lacks_a_slice_stays_open() -> None:
    tensors = make("byte-shuffle").tensors[1:]
    shapes = Container("byte-shuffle", tensors, banked=True).shapes
    assert "qo_bank" not in shapes
    assert "blocks.1.attn.c_q.weight" in shapes


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "pergroup"])
def test_what_a_format_has_no_place_for_is_refused_by_name(name: str) -> None:
    alien = INT8 if name in ("per-stream", "rans") else QUINARY
    with pytest.raises(UsageError, match="'alien': the format has no place"):
        write_container(Container(name, (stored("alien", alien, 4, 8),)), name)


def test_an_unknown_format_is_named_with_the_nearest_known() -> None:
    with pytest.raises(UsageError, match="did you mean 'pergroup'"):
        write_container(make("rans"), "per-group")


def test_a_rans_archive_carries_the_name_of_its_file() -> None:
    content = write_container(make("rans"), "rans", file_name="model.rans.ptz")
    assert b"model.rans/data.pkl" in content


@pytest.mark.parametrize("bits", range(2, 9))
def test_the_other_reader_of_rans_divides_by_half_from_six_levels_on(bits: int) -> None:
    tensor = stored("blocks.0.attn.c_q.weight", RowAsymInt(bits), 6, 40)
    content = write_container(Container("rans", (tensor,)), "rans")
    saved = torch.load(io.BytesIO(content), weights_only=True)
    alphabet = saved["rans_alphas"][tensor.name]
    half = 1 << (bits - 1)
    codes = torch.from_numpy(tensor.quantized.parts["codes"].astype(np.float32)) - half
    scales = saved["rans_scales"][tensor.name].float()[:, None]
    theirs = codes * scales / (half if alphabet > 5 else 1)
    ours = read_container(content).tensors[0]
    assert torch.equal(ours.quantizer.dequantize(ours.quantized), theirs)
    assert torch.equal(tensor.quantizer.dequantize(tensor.quantized), theirs)


def test_pr576_keeps_control_tensors_in_fp32_and_gives_vectors_one_scale() -> None:
    control, vector = Raw("float32"), stored("mlp.bias", INT5, 24)
    tensors = (
        StoredTensor("attn_scale", "float32", control, control.quantize(weight(9))),
        StoredTensor("count", "int64", Raw("int64"), Raw("int64").quantize(torch.arange(3))),
        stored("plain", Fp16(), 3, 3),
        vector,
    )
    content = write_container(Container("torch-zstd", tensors), "torch-zstd")
    saved = torch.load(io.BytesIO(unwrap(content, Allowance(1 << 20))), weights_only=True)
    assert saved["m"] == {
        "attn_scale": "passthrough_ctrl",
        "count": "passthrough",
        "plain": "passthrough",
        "mlp.bias": {"type": "int6"},
    }
    assert saved["w"]["attn_scale"].dtype == torch.float32
    assert saved["w"]["mlp.bias.scale"].shape == ()
    back = {t.name: t.quantizer.dequantize(t.quantized) for t in read_container(content).tensors}
    assert torch.equal(back["attn_scale"], weight(9))
    assert torch.equal(back["mlp.bias"], INT5.dequantize(vector.quantized))


def test_one_scale_serves_all_rows_of_a_stack() -> None:
    codes, scale = torch.tensor([[[1, -2]], [[3, 4]]], dtype=torch.int8), torch.tensor(0.5).half()
    grid, quantized = row_int(codes, scale, bits=5, where="'w'")
    assert torch.equal(grid.dequantize(quantized), codes.float() / 2)


@given(data=st.binary(max_size=40), stride=st.integers(1, 9))
def test_shuffled_bytes_come_back(data: bytes, stride: int) -> None:
    shuffled = shuffle(data, stride=stride)
    assert (unshuffle(shuffled) if len(data) >= stride else shuffled) == data


@given(
    symbols=st.tuples(st.integers(0, 9), st.integers(0, 9)).flatmap(
        lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 4))
    )
)
def test_five_levels_come_back_in_every_layout(symbols: Symbols) -> None:
    shape = symbols.shape[0], symbols.shape[1]
    for layout in LAYOUTS:
        np.testing.assert_array_equal(take_up(lay_out(symbols, layout), layout, shape), symbols)


@given(symbols=arrays(np.uint8, st.integers(0, 300), elements=st.integers(0, 63)))
@settings(deadline=None)  # the first call compiles
def test_rans_comes_back_within_a_few_bytes_of_the_entropy(symbols: Symbols) -> None:
    counts = np.maximum(histogram(symbols, 64), 1)
    stream = encode(symbols, counts)
    np.testing.assert_array_equal(decode(stream, counts, count=symbols.size), symbols)
    bits = -np.log2(np.diff(frequencies(counts))[symbols] / 65536).sum()
    assert stream.size <= bits / 8 + 5


@pytest.mark.parametrize("counts", [[1, 1, 1000000], [1000000, 1, 1], [3, 0, 2], []])
def test_a_table_that_leaves_a_symbol_no_room_is_refused(counts: list[int]) -> None:
    with pytest.raises(CorruptError):
        frequencies(np.array(counts, np.int64))


def test_an_archive_is_what_torch_writes() -> None:
    content: dict[str, Any] = {
        "a": torch.arange(6).reshape(2, 3),
        "b": [(1, 2.5, None, True)],
        "c": {"d": "é"},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    assert write_archive(content) == buffer.getvalue()
    again = read_archive(buffer.getvalue())
    assert torch.equal(again.pop("a"), content.pop("a"))
    assert again == content


def test_fused_projections_are_split_by_the_width_that_is_stored() -> None:
    data = write_container(make("per-stream"), "per-stream")
    metadata, _ = per_stream.split(data)
    entries = read_archive(decode_xz(metadata, Allowance(1 << 30)))
    assert isinstance(entries, dict)
    mark, pieces = entries["blocks.1.attn.c_qkv.weight"]["packed"]
    assert mark == "__QKV_SPLIT__"
    assert [piece["rows"] for piece in pieces] == [24, 3, 3]
    scales = entries["blocks.1.mlp.proj.weight"]["scale_delta"]
    assert scales["_v2"] == entries["blocks.1.mlp.fc.weight"]["scale"]["_v2"]
    assert entries["blocks.1.plain.weight"]["scale"].dtype == torch.float16
    assert "scale_bits" not in entries["blocks.1.plain.weight"]


def test_parts_packed_by_themselves_are_told_apart() -> None:
    sizes = torch_lzma.part_bytes(make("torch-lzma"))
    assert list(sizes) == list(torch_lzma.PARTS)
    alone = Container("torch-lzma", tuple(t for t in make("torch-lzma").tensors if "ve_" in t.name))
    assert sizes["ve_"] == len(write_container(alone, "torch-lzma"))
