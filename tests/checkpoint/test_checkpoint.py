"""From a state dict to what is stored, and back."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from artpack.checkpoint import (
    Checkpoint,
    Tie,
    from_state_dict,
    open_checkpoint,
    restore,
)
from artpack.demo import CHECKPOINT, write_demo
from artpack.errors import CheckpointError, CorruptError

DTYPES = (torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.int16, torch.bool)
PLAIN_NAMES = ("scale", "blocks.0.scale", "tok_emb.weight", "lm_head.weight", "x.wte.weight")
BANK_NAMES = ("qo_bank", "kv_bank", "mlp_up_bank", "mlp_down_bank", "ema.qo_bank")


def same(a: Tensor, b: Tensor) -> bool:
    """Equal in shape, dtype and bits."""
    bits = (
        a.contiguous().reshape(-1).view(torch.uint8),
        b.contiguous().reshape(-1).view(torch.uint8),
    )
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(*bits)


def stored_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    return {info.name: checkpoint.read(info.name).clone() for info in checkpoint.tensors}


@st.composite
def state_dicts(draw: st.DrawFn) -> dict[str, Tensor]:
    """Banks and other tensors; several names may get the very same tensor."""
    shapes = st.lists(st.integers(0, 3), max_size=3)
    pool = [
        torch.randint(0, 2, draw(shapes)).to(draw(st.sampled_from(DTYPES)))
        for _ in range(draw(st.integers(1, 3)))
    ]
    plain = draw(st.lists(st.sampled_from(PLAIN_NAMES), unique=True))
    banks = draw(st.lists(st.sampled_from(BANK_NAMES), unique=True, min_size=not plain))
    weights = {name: draw(st.sampled_from(pool)) for name in plain}
    for name in banks:
        weights[name] = torch.randint(0, 99, (draw(st.integers(0, 5)), *draw(shapes))).half()
    return {name: weights[name] for name in draw(st.permutations([*plain, *banks]))}


@given(weights=state_dicts())
def test_what_is_stored_restores_the_state_dict(weights: dict[str, Tensor]) -> None:
    with from_state_dict(weights) as checkpoint:
        stored = stored_tensors(checkpoint)
    restored = restore(checkpoint.names, stored, checkpoint.ties, checkpoint.banks)
    assert list(restored) == list(weights)
    assert all(same(restored[name], weights[name]) for name in weights)
    assert all(restored[tie.name] is restored[tie.target] for tie in checkpoint.ties)


@given(weights=state_dicts())
def test_every_stored_tensor_is_needed_exactly_once(weights: dict[str, Tensor]) -> None:
    with from_state_dict(weights) as checkpoint:
        tied = {tie.name for tie in checkpoint.ties}
        members = {bank.name: bank.members for bank in checkpoint.banks}
        untied = [name for name in checkpoint.names if name not in tied]
        assert [m for name in untied for m in members.get(name, [name])] == [
            info.name for info in checkpoint.tensors
        ]
        assert all(tie.target in untied for tie in checkpoint.ties)
        for info in checkpoint.tensors:
            read = checkpoint.read(info.name)
            assert (tuple(read.shape), read.dtype) == (info.shape, info.dtype)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_gives_what_memory_gives(tmp_path: Path, suffix: str) -> None:
    weights = {
        "kv_bank": torch.randn(4, 2, 3),
        "lm_head.weight": torch.ones(4, 2).bfloat16(),
        "scale": torch.tensor(2.0),
        "tok_emb.weight": torch.ones(4, 2).bfloat16(),
    }
    path = tmp_path / f"w{suffix}"
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    with open_checkpoint(path) as file, from_state_dict(weights) as memory:
        assert file.ties == memory.ties == (Tie("lm_head.weight", "tok_emb.weight"),)
        assert file.banks == memory.banks
        assert set(file.tensors) == set(memory.tensors)
        for info in file.tensors:
            assert same(file.read(info.name), memory.read(info.name))


def test_names_are_stripped_in_files_and_kept_in_memory(tmp_path: Path) -> None:
    weights = {"module._orig_mod.mlp_up_bank": torch.ones(1, 2, 2)}
    torch.save({"ema": weights, "step": 3}, tmp_path / "w.pt")
    with open_checkpoint(tmp_path / "w.pt") as checkpoint:
        assert checkpoint.names == ("mlp_up_bank",)
        assert checkpoint.notes == (
            "took the state dict under 'ema'",
            "stripped 'module._orig_mod.' from 1 names",
        )
    with from_state_dict(weights) as checkpoint:
        assert checkpoint.names == tuple(weights)
        assert checkpoint.notes == ()


def test_a_key_chooses_within_a_file(tmp_path: Path) -> None:
    content = {"model": {"a": torch.ones(1)}, "runs": {"ema": {"a": torch.zeros(1)}}}
    torch.save(content, tmp_path / "w.pt")
    with open_checkpoint(tmp_path / "w.pt", key="runs.ema") as checkpoint:
        assert checkpoint.read("a").item() == 0
        assert checkpoint.notes == ()


def test_a_state_dict_without_tensors_is_refused() -> None:
    with pytest.raises(CheckpointError, match="state dict: no tensors, only an empty dict"):
        from_state_dict({})


def test_some_of_the_names_can_be_restored() -> None:
    weight = torch.ones(1)
    restored = restore(["tied"], {"a": weight}, [Tie("tied", "a")], [])
    assert restored == {"tied": weight}


@pytest.mark.parametrize(
    "ties", [[], [Tie("b", "c")], [Tie("b", "b")], [Tie("c", "a"), Tie("b", "c")]]
)
def test_a_name_that_leads_to_no_tensor_is_corrupt(ties: list[Tie]) -> None:
    with pytest.raises(CorruptError, match="'b': there is no stored tensor"):
        restore(["a", "b"], {"a": torch.ones(1)}, ties, [])


def test_a_trained_checkpoint_opens(tmp_path: Path) -> None:
    write_demo(tmp_path)
    weights = load_file(tmp_path / CHECKPOINT)
    torch.save(weights, tmp_path / "ckpt.pt")
    for path in (tmp_path / CHECKPOINT, tmp_path / "ckpt.pt"):
        with open_checkpoint(path) as checkpoint:
            assert set(checkpoint.names) == set(weights)
            assert (checkpoint.ties, checkpoint.banks, checkpoint.notes) == ((), (), ())
            assert all(same(checkpoint.read(name), weights[name]) for name in weights)
