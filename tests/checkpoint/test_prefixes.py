"""Names without wrappers."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from artpack.checkpoint import open_checkpoint
from artpack.checkpoint.prefixes import strip_given, strip_prefixes
from artpack.checkpoint.source import Loaded
from artpack.errors import CheckpointError, UsageError

W = torch.ones(2)


def test_prefixes_are_stripped_from_the_names_that_have_them() -> None:
    tensors = {
        "module._orig_mod.a": W,
        "_orig_mod.module.b": W,
        "module.c": W,
        "n_averaged": W,
        "blocks.module.d": W,
        "module.": W,
        "modules.e": W,
    }
    loaded = strip_prefixes(Loaded(tensors, ("before",)))
    assert list(loaded.tensors) == [
        *("a", "b", "c", "n_averaged", "blocks.module.d", "module.", "modules.e")
    ]
    assert loaded.notes == (
        "before",
        "stripped '_orig_mod.module.', 'module.', 'module._orig_mod.' from 3 names",
    )


@pytest.mark.parametrize(
    ("full", "name"),
    [
        ("blocks.0._orig_mod.attn.weight", "blocks.0.attn.weight"),
        ("blocks.0._checkpoint_wrapped_module.mlp.w", "blocks.0.mlp.w"),
        ("_fsdp_wrapped_module.blocks.1._fsdp_wrapped_module.w", "blocks.1.w"),
        ("module._forward_module._orig_mod.head.weight", "head.weight"),
        ("a._fsdp_wrapped_module._checkpoint_wrapped_module._orig_mod.w", "a.w"),
        ("_orig_mod", "_orig_mod"),
        ("a._orig_mod", "a._orig_mod"),
        ("a_orig_mod.w", "a_orig_mod.w"),
    ],
)
def test_wrappers_are_taken_out_wherever_they_are(full: str, name: str) -> None:
    assert list(strip_prefixes(Loaded({full: W})).tensors) == [name]


def test_what_was_taken_out_inside_is_said() -> None:
    loaded = strip_prefixes(Loaded({"blocks.0._orig_mod.w": W, "blocks.1._orig_mod.w": W}))
    assert loaded.notes == ("stripped '_orig_mod.' from 2 names",)


def test_names_without_prefixes_stay_as_they_are() -> None:
    loaded = Loaded({"a": W, "module": W})
    assert strip_prefixes(loaded) is loaded


def test_two_tensors_that_would_get_one_name_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"'a' and 'module\.a' are the same without prefix"):
        strip_prefixes(Loaded({"a": W, "module.a": W}))


def test_lightning_calls_the_model_an_attribute_of_its_own(tmp_path: Path) -> None:
    state = {"model._orig_mod.blocks.0.w": W, "model.head.weight": W * 2, "loss.scale": W}
    torch.save({"pytorch-lightning_version": "2.5", "state_dict": state}, tmp_path / "last.ckpt")
    with open_checkpoint(tmp_path / "last.ckpt") as checkpoint:
        assert checkpoint.names == ("blocks.0.w", "head.weight", "loss.scale")
    torch.save({"state_dict": state}, tmp_path / "other.ckpt")
    with open_checkpoint(tmp_path / "other.ckpt") as checkpoint:
        assert checkpoint.names == ("model.blocks.0.w", "model.head.weight", "loss.scale")


@pytest.mark.parametrize("prefix", ["net.model.", "net.model"])
def test_any_other_prefix_can_be_given(tmp_path: Path, prefix: str) -> None:
    save_file({"net.model.a": W, "net.b": W * 2}, tmp_path / "w.safetensors")
    with open_checkpoint(tmp_path / "w.safetensors", strip_prefix=prefix) as checkpoint:
        assert set(checkpoint.names) == {"a", "net.b"}
        assert checkpoint.notes == ("stripped 'net.model.' from 1 names",)


def test_a_prefix_that_no_name_has_is_refused() -> None:
    with pytest.raises(UsageError, match="strip_prefix 'mod': no name begins with it"):
        strip_given(Loaded({"model.a": W}), "mod")
    with pytest.raises(CheckpointError, match="are the same without prefix"):
        strip_given(Loaded({"model.a": W, "a": W}), "model")
