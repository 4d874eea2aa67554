"""Stacks of matrices from a checkpoint through every recipe and back."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import artpack
from artpack.artifact.reader import Artifact
from artpack.checkpoint import Bank, from_state_dict
from artpack.checkpoint.selection import select
from artpack.errors import UsageError
from artpack.interop.repack import from_artifact
from artpack.pack.compress import compress
from artpack.recipes import load_recipe


def experts() -> dict[str, Tensor]:
    """Experts, layers of experts and a kernel; each row of a size of its own."""
    draw = torch.Generator().manual_seed(0)

    def rows(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw) * torch.rand(*shape[:-1], 1, generator=draw) / 50

    return {
        "mlp.experts.up": rows(4, 48, 40),
        "layers": rows(2, 2, 32, 36),
        "conv.weight": rows(32, 8, 3, 3),
        "norm.weight": torch.ones(40),
    }


def errors_by_row(weight: Tensor, back: Tensor) -> Tensor:
    """Return the relative error of each row of each matrix."""
    difference = (weight - back).norm(dim=-1)
    relative: Tensor = difference / weight.norm(dim=-1)
    return relative


def packed(path: Path, recipe: str) -> tuple[dict[str, Tensor], Artifact]:
    artpack.save(experts(), path, recipe=recipe, profile="fast")
    return artpack.load(path), artpack.open(path)


@pytest.mark.parametrize(
    ("recipe", "most"),
    [("int8", 0.01), ("int6", 0.15), ("int5", 0.12), ("int4", 0.2)],
)
def test_every_row_of_every_matrix_has_a_scale_of_its_own(
    tmp_path: Path, recipe: str, most: float
) -> None:
    back, artifact = packed(tmp_path / "a", recipe)
    with artifact:
        kinds = {plan.name: plan.quantizer.label for plan in artifact.header.plan.tensors}
        assert list(artifact) == list(experts())
    for name, weight in experts().items():
        assert back[name].shape == weight.shape
        if name in ("mlp.experts.up", "layers"):
            assert errors_by_row(weight, back[name]).max() < most
    assert "fp16" not in {kind for name, kind in kinds.items() if name != "norm.weight"}


@pytest.mark.parametrize("recipe", ["frontier", "ternary"])
def test_matrices_of_a_stack_are_quantized_like_matrices(tmp_path: Path, recipe: str) -> None:
    artpack.save(experts(), tmp_path / "a", recipe=recipe, profile="fast")
    together = artpack.load(tmp_path / "a")
    apart = {
        f"{name}.{place}": part
        for name, weight in experts().items()
        if name in ("mlp.experts.up", "layers")
        for place, part in enumerate(weight.flatten(0, -3))
    }
    apart |= {name: experts()[name] for name in ("conv.weight", "norm.weight")}
    artpack.save(apart, tmp_path / "b", recipe=recipe, profile="fast")
    alone = artpack.load(tmp_path / "b")
    for name in ("mlp.experts.up", "layers"):
        for place, part in enumerate(together[name].flatten(0, -3)):
            assert torch.equal(part, alone[f"{name}.{place}"])


def test_a_stack_without_loss_is_the_same_stack(tmp_path: Path) -> None:
    back, artifact = packed(tmp_path / "a", "lossless")
    with artifact:
        assert Bank("layers", ("layers.0.0", "layers.0.1", "layers.1.0", "layers.1.1"), (2, 2)) in (
            artifact.header.banks
        )
        assert torch.equal(artifact["layers"], experts()["layers"])
    assert all(torch.equal(back[name], weight) for name, weight in experts().items())


def test_rules_see_a_stack_as_the_checkpoint_has_it() -> None:
    spec = load_recipe("pr1123")
    weight = torch.randn(2, 32, 40)
    with from_state_dict({"blocks.0.mlp.up.weight": weight}) as checkpoint:
        first = checkpoint.tensors[0]
        assert first.name == "blocks.0.mlp.up.weight.0"
        rule = spec.rule_of(first)
        assert rule is not None
        assert rule.name == "mlp_up"
        plan = compress(checkpoint, select(checkpoint), spec).header.plan
    named = {tensor.name for tensor in plan.tensors}
    assert named == {"blocks.0.mlp.up.weight.0", "blocks.0.mlp.up.weight.1"}


def test_the_weights_of_a_stack_count_together() -> None:
    spec = load_recipe("pr2086")
    with from_state_dict({"e": torch.ones(8, 128, 128)}) as checkpoint:
        rule = spec.rule_of(checkpoint.tensors[0])
    assert rule is not None
    assert rule.name == "matrices"


def test_no_container_knows_stacks(tmp_path: Path) -> None:
    with packed(tmp_path / "a", "int6")[1] as artifact, pytest.raises(UsageError, match="a stack"):
        from_artifact(artifact, "any")
