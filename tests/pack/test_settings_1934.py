"""The export of PR 1934 with other settings: which tensor goes which way, and what is corrected."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from artpack.calibration.file import Calibration
from artpack.checkpoint import from_state_dict
from artpack.checkpoint.selection import select
from artpack.errors import CheckpointError, RecipeError
from artpack.pack.prepare import Prepared, prepare
from artpack.quantize import Fp16, LowRank, RowInt
from artpack.quantize.grids.factors import GroupFactors, RowFactors
from artpack.quantize.rounding.clips import PercentileClip, StdClip
from artpack.recipes import load_recipe

INT8_GATES = 'gates.quantizer={id="row-int", bits=8, clip={id="percentile", percentile=100.0}}'
SMALL = [f"{rule}.min_weights=1" for rule in ("embedding", "mlp", "attention", "matrices")]
"""Changes that send matrices of any size through GPTQ."""


def stage(name: str, *shape: int, sets: tuple[str, ...] = ()) -> object:
    """Return the grid that a tensor gets, and whether GPTQ rounds it."""
    rule = load_recipe("pr1934", sets).rule_for(name, shape)
    assert rule is not None
    return (rule.quantizer, "gptq") if rule.needs_data else rule.quantizer


@pytest.mark.parametrize("bits", [2, 3, 6, 8])
def test_which_grid_follows_from_name_and_size(bits: int) -> None:
    sets = tuple(f"{rule}.quantizer.bits={bits}" for rule in ("mlp", "attention", "matrices"))
    sets += ("embedding.quantizer.bits=8", "embedding.quantizer.clip.k=20.0")
    large = (257, 256)
    for name, grid in {
        "tok_emb.weight": RowInt(8, StdClip(20.0)),
        "blocks.0.mlp.fc.weight": RowInt(bits, StdClip(12.0)),
        "blocks.0.attn.c_q.weight": RowInt(bits, StdClip(12.0)),
        "lm_head.weight": RowInt(bits, StdClip(12.85)),
        "skip_weights": RowInt(bits, StdClip(12.85)),
    }.items():
        assert stage(name, *large, sets=sets) == (grid, "gptq")
        assert grid.radius == 2 ** (grid.bits - 1) - 1
        # 65,536 weights still go the small way.
        assert stage(name, 256, 256, sets=sets) == Fp16()


@pytest.mark.parametrize(
    ("shape", "small"),
    [((3, 9), True), ((4, 8), False), ((8, 12), False), ((16, 512), False), ((16, 513), True)],
)
def test_gates_are_in_bytes_from_32_to_8192_weights(shape: tuple[int, int], small: bool) -> None:  # noqa: FBT001 - a case of the table
    name = "blocks.0.attn.attn_gate_w"
    assert stage(name, *shape) == Fp16()
    want = Fp16() if small else RowInt(8, PercentileClip(100.0))
    assert stage(name, *shape, sets=(INT8_GATES,)) == want
    # The other kind of gate, and a gate too large for the rule, are matrices like any.
    assert stage("blocks.0.attn.attn_gate_proj.weight", *shape, sets=(INT8_GATES,)) == Fp16()
    large = stage(name, 129, 512, sets=(INT8_GATES,))
    assert large == (RowInt(6, StdClip(12.0)), "gptq")


def test_gates_of_bytes_reach_the_largest_weight_of_their_row() -> None:
    weight = torch.tensor([[1.0, -2.0, 0.5, 0.0] * 8, [0.0] * 32])
    grid = RowInt(8, PercentileClip(100.0))
    quantized = grid.quantize(weight)
    assert (quantized.parts["codes"].astype(int) - 127)[0, :4].tolist() == [64, -127, 32, 0]
    assert not grid.dequantize(quantized)[1].any()


def weights(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    names = {
        "emb": "tok_emb.weight",
        "fc": "blocks.0.mlp.fc.weight",
        "q": "blocks.0.attn.c_q.weight",
    }
    return {names.get(n, n): torch.randn(shape, generator=draw) for n, shape in shapes.items()}


def export(state: Mapping[str, Tensor], *sets: str, dead: int | None = None) -> dict[str, Prepared]:
    with from_state_dict(state) as checkpoint:
        selection = select(checkpoint)
        draw = torch.Generator().manual_seed(4)
        hessians = {}
        for info in selection.tensors:
            inputs = torch.randn(64, info.shape[-1], generator=draw)
            if dead is not None:
                inputs[:, dead] = 0
            hessians[info.name] = inputs.T @ inputs / 64
        spec = load_recipe("pr1934", [*SMALL, *sets])
        return prepare(checkpoint, selection, spec, Calibration(hessians, {}, {}, 64, {}))


def corrected(prepared: Mapping[str, Prepared]) -> dict[str, LowRank]:
    return {n: t.quantizer for n, t in prepared.items() if isinstance(t.quantizer, LowRank)}


def test_as_many_are_corrected_as_asked_for() -> None:
    state = weights(emb=(40, 32), fc=(24, 32), q=(16, 32))
    plain = export(state, "correction.top=0")
    assert corrected(plain) == {}
    lost = {n: (state[n] - t.quantizer.dequantize(t.quantized)).norm() for n, t in plain.items()}
    worst = sorted(lost, key=lambda name: -lost[name])
    for top in (1, 2):
        found = corrected(export(state, f"correction.top={top}"))
        assert found.keys() == set(worst[:top])
    assert corrected(export(state, "correction.top=99")).keys() == state.keys()


@pytest.mark.parametrize(
    ("rank", "group", "cols", "grouped"),
    [
        (4, 64, 32, True),
        (4, 64, 33, False),
        (3, 64, 32, False),
        # Groups may cross the rows of the right matrix.
        (4, 128, 32, True),
        (2, 48, 24, True),
        # The matrix has 6 rows and so a rank of 6, whatever was asked for: 6 * 32 = 3 * 64.
        (9, 64, 32, True),
        (256, 96, 32, True),
        (10, 160, 32, False),
    ],
)
def test_groups_that_do_not_come_out_even_make_way_for_rows(
    rank: int, group: int, cols: int, *, grouped: bool
) -> None:
    sets = (f"correction.rank={rank}", f"correction.factors.group={group}")
    state = weights(fc=(6, cols))
    found = export(state, *sets, "correction.ragged.bits=3")["blocks.0.mlp.fc.weight"]
    assert isinstance(found.quantizer, LowRank)
    assert found.quantizer.factors == (GroupFactors(group) if grouped else RowFactors(3))
    assert found.quantized.parts["left"].shape == (6, min(rank, 6))


def test_without_groups_both_factors_have_a_scale_a_row() -> None:
    state = weights(fc=(6, 64))
    sets = 'correction.factors={id="row-factors", bits=5}'
    found = export(state, sets)["blocks.0.mlp.fc.weight"]
    assert isinstance(found.quantizer, LowRank)
    assert found.quantizer.factors == RowFactors(5)
    assert found.quantized.parts["left_scales.0"].size == 6
    assert found.quantized.parts["right_scales.0"].size == 4
    assert found.quantized.parts["left"].max() <= 30


def test_equal_errors_are_ranked_layer_by_layer() -> None:
    draw = torch.Generator().manual_seed(5)
    one = torch.randn(16, 16, generator=draw)
    # All slices are alike, and so are their errors.
    state = {"qo_bank": one.expand(6, -1, -1).clone()}
    names = [f"blocks.{i}.attn.{kind}.weight" for i in range(3) for kind in ("c_q", "proj")]
    with from_state_dict(state) as checkpoint:
        selection = select(checkpoint)
        hessians = {name: torch.eye(16) for name in names}
        for top in range(1, 6):
            spec = load_recipe("pr1934", [*SMALL, f"correction.top={top}"])
            found = prepare(checkpoint, selection, spec, Calibration(hessians, {}, {}, 64, {}))
            assert sorted(corrected(found)) == sorted(names[:top])


def test_columns_that_nothing_excites_count_for_the_steps_and_are_dropped() -> None:
    state = weights(fc=(8, 32))
    weight = state["blocks.0.mlp.fc.weight"]
    weight[:, 5] *= 20
    found = export(state, "correction.top=0", dead=5)["blocks.0.mlp.fc.weight"]
    grid = found.quantizer
    assert isinstance(grid, RowInt)
    steps = grid.stored_steps(found.quantized).flatten()
    assert torch.equal(steps, (12 * weight.std(dim=1) / 31).half().float())
    assert not grid.dequantize(found.quantized)[:, 5].any()


def test_a_constant_row_keeps_its_value() -> None:
    state = {"blocks.0.mlp.fc.weight": torch.cat([torch.full((1, 32), 0.25), torch.randn(7, 32)])}
    found = export(state, "correction.top=0")["blocks.0.mlp.fc.weight"]
    back = found.quantizer.dequantize(found.quantized)[0]
    assert (back - 0.25).abs().max() < 0.01


def test_there_is_no_way_without_a_hessian() -> None:
    state = weights(fc=(8, 32))
    with from_state_dict(state) as checkpoint:
        spec = load_recipe("pr1934", SMALL)
        with pytest.raises(CheckpointError, match="the calibration has no Hessian for it"):
            prepare(checkpoint, select(checkpoint), spec, Calibration({}, {}, {}, 1, {}))


@pytest.mark.parametrize("change", ["factors.group=0", "rank=0", "ragged.bits=1"])
def test_settings_that_the_original_fails_on_are_refused(change: str) -> None:
    with pytest.raises(RecipeError, match="must be"):
        load_recipe("pr1934", [f"correction.{change}"])
