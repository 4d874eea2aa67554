"""Names that mean one tensor."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from artpack.checkpoint import Tie, from_state_dict, open_checkpoint
from artpack.checkpoint.ties import EMBEDDINGS, HEADS


def ties_of(weights: dict[str, Tensor]) -> tuple[Tie, ...]:
    return from_state_dict(weights).ties


def test_the_very_same_tensor_is_a_tie_to_the_first_name() -> None:
    a, b = torch.ones(3), torch.zeros(3)
    assert ties_of({"x": a, "y": b, "z": a, "w": b, "v": a}) == (
        Tie("z", "x"),
        Tie("w", "y"),
        Tie("v", "x"),
    )


def test_equal_tensors_of_any_other_names_are_no_tie() -> None:
    assert ties_of({"x": torch.ones(3), "y": torch.ones(3)}) == ()


def test_memory_shared_in_part_is_no_tie() -> None:
    a = torch.arange(12).reshape(3, 4)
    parts = {
        "whole": a,
        "start": a[:2],
        "turned": a.T,
        "other shape": a.reshape(4, 3),
        "other dtype": a.view(torch.float64),
    }
    assert ties_of(parts) == ()
    with from_state_dict(parts) as checkpoint:
        assert all(torch.equal(checkpoint.read(name), part) for name, part in parts.items())


def test_a_conjugate_view_is_not_a_tie_to_its_base() -> None:
    a = torch.tensor([1 + 2j])
    weights = {"a": a, "conjugate": a.conj(), "negative": a.conj().imag}
    assert ties_of(weights) == ()
    with from_state_dict(weights) as checkpoint:
        assert torch.equal(checkpoint.read("conjugate"), torch.tensor([1 - 2j]))
        assert torch.equal(checkpoint.read("negative"), torch.tensor([-2.0]))


def test_empty_tensors_are_no_ties() -> None:
    assert ties_of({"x": torch.empty(0), "y": torch.empty(0)}) == ()


def test_the_memory_that_torch_saved_once_is_a_tie(tmp_path: Path) -> None:
    a = torch.ones(2, 3)
    torch.save({"x": a, "y": a, "z": a.clone()}, tmp_path / "w.pt")
    with open_checkpoint(tmp_path / "w.pt") as checkpoint:
        assert checkpoint.ties == (Tie("y", "x"),)
        assert checkpoint.names == ("x", "y", "z")
        assert [info.name for info in checkpoint.tensors] == ["x", "z"]


@pytest.mark.parametrize(
    ("head", "embedding"),
    [
        *(("lm_head.weight", embedding) for embedding in EMBEDDINGS),
        *((head, "tok_emb.weight") for head in HEADS),
        ("model.lm_head.weight", "transformer.wte.weight"),
        ("lm_head.weight", "model.decoder.embed_tokens.weight"),
    ],
)
def test_a_head_equal_to_the_embedding_is_a_tie_to_it(head: str, embedding: str) -> None:
    weights = {head: torch.ones(4, 2), embedding: torch.ones(4, 2)}
    assert ties_of(weights) == (Tie(head, embedding),)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (torch.full((4, 2), 2.0), "value"),
        (torch.ones(8), "shape"),
        (torch.ones(4, 2, dtype=torch.float16), "dtype"),
        (torch.cat([torch.ones(7), torch.zeros(1)]).reshape(4, 2), "last element"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_head_that_differs_in_anything_is_stored(other: Tensor, why: str) -> None:
    assert ties_of({"lm_head.weight": torch.ones(4, 2), "tok_emb.weight": other}) == (), why


def test_zeros_of_either_sign_are_not_equal() -> None:
    weights = {"lm_head.weight": torch.zeros(2), "tok_emb.weight": -torch.zeros(2)}
    assert ties_of(weights) == ()


def test_nans_of_the_same_bits_are_equal() -> None:
    weights = {
        "lm_head.weight": torch.tensor([torch.nan]),
        "tok_emb.weight": torch.tensor([torch.nan]),
    }
    assert ties_of(weights) == (Tie("lm_head.weight", "tok_emb.weight"),)


def test_a_name_must_end_with_the_whole_of_a_known_one() -> None:
    assert ties_of({"ahead.weight": torch.ones(2), "xtok_emb.weight": torch.ones(2)}) == ()


def test_both_kinds_of_tie_lead_to_one_target() -> None:
    a, b = torch.ones(2), torch.ones(2)
    weights = {
        "alias": a,
        "lm_head.weight": a,
        "encoder.embed_tokens.weight": b,
        "shared.weight": b,
        "head.weight": torch.ones(2),
    }
    target = "encoder.embed_tokens.weight"
    assert ties_of(weights) == tuple(Tie(name, target) for name in weights if name != target)


def test_heads_without_an_embedding_tie_to_the_first(tmp_path: Path) -> None:
    weights = {"a.head.weight": torch.ones(2), "b.head.weight": torch.ones(2)}
    save_file(weights, tmp_path / "w.safetensors")
    with open_checkpoint(tmp_path / "w.safetensors") as checkpoint:
        assert checkpoint.ties == (Tie("b.head.weight", "a.head.weight"),)
