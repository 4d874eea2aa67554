"""GGUF files as checkpoints: values, names and shapes against the packages that know them."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.gguf_header import read_gguf_header
from artpack.checkpoint.gguf_model import (
    READER,
    empty_model,
    hugging_face_files,
    make_config,
    read_metadata,
)
from artpack.checkpoint.optional import import_reader
from artpack.errors import UsageError

pytest.importorskip("gguf", reason="gguf is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
import gguf

from tests.checkpoint.gguf_cases import KINDS, drawn, gpt2, llama, qwen2, write


def read_all(path: Path) -> dict[str, torch.Tensor]:
    with open_checkpoint(path) as checkpoint:
        target = {tie.name: tie.target for tie in checkpoint.ties}
        return {name: checkpoint.read(target.get(name, name)) for name in checkpoint.names}


@pytest.mark.parametrize("kind", [KINDS.Q4_0, KINDS.Q4_1, KINDS.Q8_0, KINDS.F16, KINDS.BF16])
@pytest.mark.parametrize("make", [llama, qwen2, gpt2])
def test_weights_are_those_that_transformers_reads(
    tmp_path: Path, make: Callable[[Path, Any], Path], kind: Any
) -> None:
    path = make(tmp_path / "blob", kind)
    fields = read_metadata(path)
    assert fields is not None
    model = empty_model(make_config(fields))
    read = import_reader(READER).load_gguf_checkpoint
    expected = read(str(path), return_tensors=True, model_to_load=model)["tensors"]
    found = read_all(path)
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor.float(), expected[name].float()), name
        half = {KINDS.F16: torch.float16, KINDS.BF16: torch.bfloat16}.get(kind, torch.float32)
        whole = tensor.ndim == 1 or name == "transformer.wpe.weight"
        assert tensor.dtype is (torch.float32 if whole else half), name


def test_queries_and_keys_are_in_the_order_of_hugging_face(tmp_path: Path) -> None:
    path = llama(tmp_path / "m.gguf", KINDS.F32)
    keys = read_all(path)["model.layers.0.self_attn.k_proj.weight"]
    stored = torch.from_numpy(drawn(32, 64, seed=1))
    # llama.cpp has the two halves of a head, which rotate together, row by row in turn.
    assert torch.equal(keys, stored.view(2, 8, 2, 64).transpose(1, 2).reshape(32, 64))


def test_blocks_of_256_are_dequantized_as_gguf_does(tmp_path: Path) -> None:
    kind, block_bytes = KINDS.Q6_K, 210
    content = np.random.default_rng(0).integers(0, 255, (3, 2 * block_bytes), np.uint8)
    # Two bytes of each block are a scale in fp16, which must be finite.
    content[:, [block_bytes - 1, 2 * block_bytes - 1]] = 0x2C
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "unheard-of")
    writer.add_name("small")
    writer.add_tensor("blk.0.w", content, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open_checkpoint(tmp_path / "m.gguf") as checkpoint:
        found = checkpoint.read("blk.0.w").numpy()
    assert found.shape == (3, 512)
    assert np.array_equal(found, gguf.dequantize(content, kind))


def test_an_unknown_architecture_keeps_its_names(tmp_path: Path) -> None:
    tensors = {"a.weight": (drawn(4, 64), KINDS.Q8_0), "a.bias": (drawn(4), KINDS.F32)}
    path = write(tmp_path / "m.gguf", "unheard-of", tensors, {})
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.names == ("a.weight", "a.bias")
        (note,) = checkpoint.notes
        assert note == (
            "transformers cannot read GGUF files of 'unheard-of':"
            " the names are llama.cpp's, and there is no config"
        )
        quantized = gguf.quants.quantize(drawn(4, 64), KINDS.Q8_0)
        expected = gguf.dequantize(quantized, KINDS.Q8_0)
        assert np.array_equal(checkpoint.read("a.weight").numpy(), expected)
    assert hugging_face_files(path) == ({}, ())


def test_tensors_without_elements_are_read(tmp_path: Path) -> None:
    tensors = {"a.weight": (drawn(4, 64), KINDS.Q8_0)}
    path = write(tmp_path / "m.gguf", "unheard-of", tensors, {})
    content = path.read_bytes()
    assert content.count(struct.pack("<QQ", 64, 4)) == 1
    path.write_bytes(content.replace(struct.pack("<QQ", 64, 4), struct.pack("<QQ", 64, 0)))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.read("a.weight").shape == (0, 64)


def test_what_the_model_has_no_use_for_is_noted(tmp_path: Path) -> None:
    with open_checkpoint(llama(tmp_path / "m.gguf")) as checkpoint:
        assert checkpoint.notes == (
            "left out, in the file but not in the model: rope_freqs.weight",
        )


def test_what_the_file_does_not_have_is_noted(tmp_path: Path) -> None:
    whole = llama(tmp_path / "m.gguf")
    names = [tensor.name for tensor in gguf.GGUFReader(whole).tensors]
    assert "blk.1.ffn_up.weight" in names
    content = whole.read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_xx.weight")
    whole.write_bytes(content)
    with open_checkpoint(whole) as checkpoint:
        assert (
            "in the model but not in the file: model.layers.1.mlp.up_proj.weight"
            in checkpoint.notes
        )


def test_tied_heads_need_no_tensor_and_equal_ones_are_tied(tmp_path: Path) -> None:
    with open_checkpoint(llama(tmp_path / "tied.gguf")) as checkpoint:
        assert "lm_head.weight" not in checkpoint.names
    with open_checkpoint(llama(tmp_path / "untied.gguf", tied=False)) as checkpoint:
        assert "lm_head.weight" in checkpoint.names
        assert checkpoint.ties == ()
    with open_checkpoint(gpt2(tmp_path / "gpt2.gguf")) as checkpoint:
        (tie,) = checkpoint.ties
        assert (tie.name, tie.target) == ("lm_head.weight", "transformer.wte.weight")


def test_files_of_hugging_face_are_made_of_the_metadata(tmp_path: Path) -> None:
    import transformers  # noqa: PLC0415 - takes long

    files, notes = hugging_face_files(qwen2(tmp_path / "m.gguf", KINDS.BF16))
    assert notes == ()
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    config = transformers.AutoConfig.from_pretrained(folder)
    assert config.architectures == ["Qwen2ForCausalLM"]
    assert (config.hidden_size, config.num_key_value_heads) == (64, 2)
    # Called torch_dtype before 4.56.
    assert "bfloat16" in json.loads(files["config.json"]).values()
    assert not hasattr(config, "quantization_config")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert tokenizer.decode(tokenizer("abcab")["input_ids"]) == "abcab"


def test_there_are_no_keys_in_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave the key out"):
        open_checkpoint(llama(tmp_path / "m.gguf"), key="model")


def test_scales_that_are_not_finite_make_weights_that_are_not(tmp_path: Path) -> None:
    """Whoever packs them is told of the weight, and not by a warning of numpy."""
    path = write(tmp_path / "m.gguf", "none", {"a": (drawn(2, 32), KINDS.Q8_0)}, {})
    content = bytearray(path.read_bytes())
    start = read_gguf_header(path).tensors[0].start
    content[start : start + 34] = np.float16("inf").tobytes() + bytes(32)
    path.write_bytes(content)

    with open_checkpoint(path) as checkpoint:
        assert checkpoint.read("a").isnan().any()
