"""Banks opened and closed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from artpack.artifact.reader import open_artifact
from artpack.checkpoint import Bank, TensorInfo, Tie, from_state_dict, open_checkpoint, restore
from artpack.checkpoint.banks import is_stack
from artpack.checkpoint.selection import select
from artpack.errors import CheckpointError, CorruptError
from artpack.pack.compress import compress
from artpack.recipes import load_recipe


def test_banks_open_into_the_names_of_pr_1934() -> None:
    weights = {
        "qo_bank": torch.arange(4.0).reshape(4, 1, 1),
        "kv_bank": torch.arange(4.0, 8.0).reshape(4, 1, 1),
        "mlp_up_bank": torch.arange(8.0, 10.0).reshape(2, 1, 1),
        "tok_emb.weight": torch.tensor([[10.0]]),
        "mlp_down_bank": torch.arange(11.0, 13.0).reshape(2, 1, 1),
    }
    with from_state_dict(weights) as checkpoint:
        assert checkpoint.names == tuple(weights)
        assert {info.name: checkpoint.read(info.name).item() for info in checkpoint.tensors} == {
            "blocks.0.attn.c_q.weight": 0,
            "blocks.1.attn.c_q.weight": 1,
            "blocks.0.attn.proj.weight": 2,
            "blocks.1.attn.proj.weight": 3,
            "blocks.0.attn.c_k.weight": 4,
            "blocks.1.attn.c_k.weight": 5,
            "blocks.0.attn.c_v.weight": 6,
            "blocks.1.attn.c_v.weight": 7,
            "blocks.0.mlp.fc.weight": 8,
            "blocks.1.mlp.fc.weight": 9,
            "tok_emb.weight": 10,
            "blocks.0.mlp.proj.weight": 11,
            "blocks.1.mlp.proj.weight": 12,
        }
        assert checkpoint.banks[-1] == Bank(
            "mlp_down_bank", ("blocks.0.mlp.proj.weight", "blocks.1.mlp.proj.weight")
        )
        assert all(info.shape == (1, 1) for info in checkpoint.tensors)


def test_a_prefix_of_the_bank_is_one_of_its_members() -> None:
    with from_state_dict({"gpt.mlp_up_bank": torch.ones(1, 2, 3)}) as checkpoint:
        assert checkpoint.banks == (Bank("gpt.mlp_up_bank", ("gpt.blocks.0.mlp.fc.weight",)),)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("qo_bank", (3, 2, 2)),
        ("kv_bank", (4, 2)),
        ("mlp_up_bank", (2, 2, 2, 2)),
        ("mlp_up_bank", (0, 2, 2)),
        ("big_qo_bank", (2, 2, 2)),
        ("qo_bank.weight", (2, 2, 2)),
    ],
)
def test_a_tensor_that_is_no_bank_stays_closed(name: str, shape: tuple[int, ...]) -> None:
    with from_state_dict({name: torch.ones(shape)}) as checkpoint:
        assert checkpoint.banks == ()
        assert [info.name for info in checkpoint.tensors] == [name]


def test_a_member_that_exists_besides_is_refused() -> None:
    weights = {"mlp_up_bank": torch.ones(1, 2, 2), "blocks.0.mlp.fc.weight": torch.ones(2, 2)}
    with pytest.raises(CheckpointError, match=r"'mlp_up_bank' holds 'blocks\.0\.mlp\.fc\.weight'"):
        from_state_dict(weights)


def test_a_bank_that_is_tied_opens_once() -> None:
    bank = torch.arange(8).reshape(2, 2, 2)
    with from_state_dict({"mlp_up_bank": bank, "ema.mlp_up_bank": bank}) as checkpoint:
        assert checkpoint.ties == (Tie("ema.mlp_up_bank", "mlp_up_bank"),)
        assert [found.name for found in checkpoint.banks] == ["mlp_up_bank"]
        stored = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
        again = restore(checkpoint.names, stored, checkpoint.ties, checkpoint.banks)
    assert torch.equal(again["mlp_up_bank"], bank)
    assert again["ema.mlp_up_bank"] is again["mlp_up_bank"]


@pytest.mark.parametrize(
    ("slices", "problem"),
    [
        ({"a": torch.ones(2)}, "'b' is missing"),
        ({"a": torch.ones(2), "b": torch.ones(3)}, "differ in shape or dtype"),
        ({"a": torch.ones(2), "b": torch.ones(2).half()}, "differ in shape or dtype"),
    ],
)
def test_slices_that_do_not_fit_are_corrupt(slices: dict[str, torch.Tensor], problem: str) -> None:
    with pytest.raises(CorruptError, match=problem):
        restore(["bank"], slices, (), (Bank("bank", ("a", "b")),))


def test_a_bank_of_nothing_is_corrupt() -> None:
    with pytest.raises(CorruptError, match="differ in shape or dtype"):
        restore(["bank"], {}, (), (Bank("bank", ()),))


def test_the_golden_banks_open_and_close(cases: Path, tmp_path: Path) -> None:
    path = cases / "golden" / "pr1934" / "A" / "state_dict.safetensors"
    weights = load_file(path)
    layers = len(weights["mlp_up_bank"])
    with open_checkpoint(path) as checkpoint:
        assert set(checkpoint.names) == set(weights)
        assert len(checkpoint.tensors) == len(weights) - 4 + 6 * layers
        proj = checkpoint.read(f"blocks.{layers - 1}.attn.proj.weight")
        assert torch.equal(proj, weights["qo_bank"][-1])
        save_file(
            {info.name: checkpoint.read(info.name) for info in checkpoint.tensors},
            tmp_path / "opened.safetensors",
        )
        stored = load_file(tmp_path / "opened.safetensors")
        again = restore(checkpoint.names, stored, checkpoint.ties, checkpoint.banks)
    assert all(torch.equal(again[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("shape", "members"),
    [
        ((8, 256, 256), 8),
        ((64, 32, 64), 64),
        ((2, 3, 64, 96), 6),
        ((2, 8, 64, 64), 16),
        ((1, 197, 768), 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_stacks_of_matrices_open_into_their_slices(
    shape: tuple[int, ...], members: int, dtype: torch.dtype
) -> None:
    weight = torch.arange(1.0, 1 + torch.Size(shape).numel()).reshape(shape).to(dtype)
    with from_state_dict({"mlp.experts": weight, "b": torch.ones(3)}) as checkpoint:
        assert checkpoint.names == ("mlp.experts", "b")
        slices = {info.name: checkpoint.read(info.name) for info in checkpoint.tensors}
        assert len(slices) == members + 1
        assert torch.equal(
            slices["mlp.experts" + ".0" * (len(shape) - 2)], weight.flatten(0, -3)[0]
        )
        assert all(info.stack is None or info.stack.shape == shape for info in checkpoint.tensors)
        again = restore(checkpoint.names, slices, checkpoint.ties, checkpoint.banks)
    assert torch.equal(again["mlp.experts"], weight)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((64, 32, 3, 3), torch.float32),
        ((64, 80, 3), torch.float32),
        ((768, 3, 32, 32), torch.float32),
        ((32, 64, 1, 1), torch.float32),
        ((8, 16, 4096), torch.float32),
        ((5000, 32, 32), torch.bool),
        ((8, 64, 64), torch.int8),
        ((8, 64, 64), torch.float8_e4m3fn),
        ((0, 64, 64), torch.float32),
        ((64, 64), torch.float32),
    ],
    ids=str,
)
def test_kernels_vectors_and_what_is_quantized_already_are_no_stacks(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    assert not is_stack(TensorInfo("w", shape, dtype))


def test_a_stack_stays_closed_where_a_slice_would_take_a_name() -> None:
    weights = {"w": torch.ones(2, 32, 32), "w.1": torch.ones(3)}
    with from_state_dict(weights) as checkpoint:
        assert checkpoint.banks == ()


def test_matrices_that_multiply_from_the_other_side_are_stored_transposed() -> None:
    weights = {
        "c_attn.weight": torch.randn(64, 192),
        "experts": torch.randn(3, 64, 96),
        "fc.weight": torch.randn(96, 64),
        "one.expert": torch.randn(1, 64, 96),
    }
    turned = ["c_attn.weight", "experts", "one.expert"]
    with from_state_dict(weights) as plain:
        checkpoint = plain.oriented(turned)
        assert [info.shape for info in checkpoint.tensors] == [(192, 64), *[(96, 64)] * 5]
        assert checkpoint.banks[0] == Bank("c_attn.weight", ("c_attn.weight",), transposed=True)
        assert torch.equal(checkpoint.read("experts.1"), weights["experts"][1].T)
        selection = select(checkpoint)
        assert selection.shapes == {name: tuple(w.shape) for name, w in weights.items()}
        packed = compress(checkpoint, selection, load_recipe("lossless"))
    with open_artifact(packed.content()) as artifact:
        assert artifact.header.banks == checkpoint.banks
        loaded = artifact.load()
        assert list(loaded) == list(weights)
        assert all(torch.equal(loaded[name], weight) for name, weight in weights.items())
        assert torch.equal(artifact["c_attn.weight"], weights["c_attn.weight"])


def test_what_is_no_matrix_is_not_turned() -> None:
    weights = {"v": torch.ones(4), "kernel": torch.ones(8, 4, 3), "m": torch.ones(2, 3)}
    with from_state_dict(weights) as plain:
        assert [info.shape for info in plain.oriented(weights).tensors] == [(4,), (8, 4, 3), (3, 2)]
