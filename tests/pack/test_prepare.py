"""Tensors that are quantized before they are packed."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from artpack.artifact.reader import open_artifact
from artpack.calibration.file import Calibration
from artpack.checkpoint import from_state_dict
from artpack.checkpoint.selection import select
from artpack.coding.profiles import profile_named
from artpack.errors import CheckpointError, RecipeError, UsageError
from artpack.pack.compress import Packed, compress
from artpack.pack.prepare import Prepared, prepare
from artpack.quantize import LowRank, RowAsymInt, RowInt
from artpack.quantize.error_report import Report
from artpack.quantize.grids.factors import GroupFactors, RowFactors
from artpack.quantize.rounding.clips import GivenClip
from artpack.recipes import load_recipe

WEIGHTS = {"fc.weight": torch.linspace(-1, 1, 64 * 33).reshape(64, 33), "b": torch.ones(5)}
QUANTIZER = RowInt(3, GivenClip())


def pack(prepared: dict[str, Prepared]) -> Packed:
    with from_state_dict(WEIGHTS) as checkpoint:
        return compress(
            checkpoint,
            select(checkpoint),
            load_recipe("int8"),
            prepared=prepared,
            provenance={"calibration": "mine"},
            profile=profile_named("fast"),
        )


def test_prepared_tensors_are_stored_as_given_and_others_by_their_rule() -> None:
    report = Report(0.01, 0.1, 0.0, 0.5, 0, 2.0)
    quantized = QUANTIZER.quantize(WEIGHTS["fc.weight"])

    packed = pack({"fc.weight": Prepared(QUANTIZER, quantized, report)})

    with open_artifact(packed.content()) as artifact:
        back = artifact.load()
        assert [t.quantizer.label for t in artifact.header.plan.tensors] == ["int3", "fp16"]
        assert artifact.header.provenance["reports"] == [report.to_json(), None]
        assert artifact.header.provenance["calibration"] == "mine"
    assert torch.equal(back["fc.weight"], QUANTIZER.dequantize(quantized))


@pytest.mark.parametrize(("name", "shape"), [("fc.weight", (3, 4)), ("other", (64, 33))])
def test_what_does_not_fit_the_selection_is_refused(name: str, shape: tuple[int, ...]) -> None:
    quantized = QUANTIZER.quantize(torch.ones(shape))

    with pytest.raises(UsageError, match=f"{name!r} is prepared with the shape"):
        pack({name: Prepared(QUANTIZER, quantized)})


@pytest.mark.parametrize(
    "value", [None, 3, [1, 2, 3], [1, 2, 3, 4, "x"], [1, True, 3, 4, 5], [10**9] * 5]
)
def test_what_is_no_report_is_none(value: object) -> None:
    assert Report.from_json(value) is None  # type: ignore[arg-type]


def calibration(weights: Mapping[str, Tensor], *names: str) -> Calibration:
    draw = torch.Generator().manual_seed(1)
    hessians = {}
    for name in names:
        cols = weights[name].shape[1]
        inputs = torch.randn(80, cols, generator=draw).cumsum(dim=1)
        hessians[name] = inputs.T @ inputs / 80
    return Calibration(hessians, {}, {}, 80, {})


def matrices() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(2)
    return {f"blocks.{i}.fc.weight": torch.randn(40, 24 + i, generator=draw) for i in range(3)}


def run(
    weights: Mapping[str, Tensor],
    overrides: Sequence[str],
    data: Calibration | None,
    recipe: str = "int6",
) -> dict[str, Prepared]:
    with from_state_dict(weights) as checkpoint:
        return prepare(checkpoint, select(checkpoint), load_recipe(recipe, overrides), data)


def test_a_recipe_that_needs_data_says_so_in_one_line() -> None:
    words = "recipe 'int6' rounds with data: give `calibration` or `calibration_tokens`"
    with pytest.raises(UsageError, match=words):
        run(matrices(), ["matrices.rounding=gptq"], None)


def test_gptq_uses_the_hessian_and_reports() -> None:
    weights = matrices()
    data = calibration(weights, *weights)

    plain = run(weights, [], data)
    rounded = run(weights, ["matrices.rounding=gptq"], data)

    assert list(plain) == list(rounded) == list(weights)
    for name, tensor in rounded.items():
        report, nearest = tensor.report, plain[name].report
        assert report is not None
        assert nearest is not None
        ours = report.weighted_error
        assert ours is not None
        assert nearest.weighted_error is not None
        assert ours < 0.5 * nearest.weighted_error
        assert report.relative_error > nearest.relative_error
        lost = weights[name] - tensor.quantizer.dequantize(tensor.quantized)
        expected = ((lost @ data.hessians[name]) * lost).sum().item()
        assert ours == pytest.approx(expected, rel=1e-4)


def test_without_data_and_special_rules_nothing_is_prepared() -> None:
    assert run(matrices(), [], None) == {}


def test_a_tensor_without_a_hessian_is_named() -> None:
    weights = matrices()
    first, *rest = weights
    with pytest.raises(CheckpointError, match=f"{first}': the calibration has no Hessian for it"):
        run(weights, ["matrices.rounding=gptq"], calibration(weights, *rest))


def test_raised_damping_is_noted_with_the_report() -> None:
    weights = matrices()
    data = calibration(weights, *weights)
    name = next(iter(weights))
    data.hessians[name].diagonal().sub_(0.02 * data.hessians[name].trace() / 24)

    prepared = run(weights, ["matrices.rounding=gptq"], data)

    report = prepared[name].report
    assert report is not None
    assert report.notes[0].startswith("damping raised from 0.01 to 0.1")
    assert not any(p.report.notes for n, p in prepared.items() if p.report and n != name)


def test_the_largest_errors_are_corrected() -> None:
    weights = matrices()
    weights["blocks.1.fc.weight"] *= 10
    data = calibration(weights, *weights)
    correction = "correction={top=1, rank=2, factors={id='group-factors', group=10}}"
    overrides = ["matrices.rounding=gptq", "matrices.quantizer.bits=3"]

    before = run(weights, overrides, data)
    after = run(weights, [*overrides, correction], data)

    assert [n for n, p in after.items() if isinstance(p.quantizer, LowRank)] == [
        "blocks.1.fc.weight"
    ]
    corrected = after["blocks.1.fc.weight"]
    assert isinstance(corrected.quantizer, LowRank)
    assert corrected.quantizer.factors == GroupFactors(10)  # 2 rows of 25 fill 5 groups
    report, plain = corrected.report, before["blocks.1.fc.weight"].report
    assert report is not None
    assert plain is not None
    assert report.relative_error < plain.relative_error
    ragged = run(weights, [*overrides, correction.replace("10", "7")], data)
    quantizer = ragged["blocks.1.fc.weight"].quantizer
    assert isinstance(quantizer, LowRank)
    assert quantizer.factors == RowFactors(4)


def test_the_search_takes_the_smallest_sum_of_errors() -> None:
    weights = matrices()
    data = calibration(weights, *weights)
    sums = {}
    for damping in (0.001, 0.1, 10.0):
        prepared = run(weights, [f"matrices.rounding={{id='gptq', damping={damping}}}"], data)
        sums[damping] = sum(p.report.mean_squared_error for p in prepared.values() if p.report)
    best = min(sums, key=lambda damping: sums[damping])

    found = run(weights, ["matrices.rounding=gptq", "search={damping=[0.001, 0.1, 10.0]}"], data)

    assert sum(p.report.mean_squared_error for p in found.values() if p.report) == sums[best]


def test_pruning_comes_first_and_steps_may_come_from_a_rule_of_their_own() -> None:
    weights = matrices()
    name = "blocks.0.fc.weight"
    steps = "matrices.steps={id='floored-percentile', percentile=100.0, floor=0.001}"
    overrides = ["matrices.prune=0.25", "matrices.quantizer.clip=given", steps]

    tensor = run(weights, overrides, None)[name]

    codes = tensor.quantized.parts["codes"].astype(int) - 31
    threshold = weights[name].abs().quantile(0.25)
    assert not codes[(weights[name].abs() < threshold).numpy()].any()
    assert (abs(codes).max(axis=1) == 31).all()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("vectors.rounding=gptq", "rounding is for the quantizer row-int only"),
        ("matrices.rounding=gpdq", "did you mean 'gptq'"),
        ("matrices.rounding={id='gptq', damp=1.0}", "unknown field 'damp' .did you mean 'damping'"),
        ("matrices.prune=1.5", "prune must be 0 to below 1"),
        ("matrices.prune=some", "prune must be float"),
        ("search.dampings=[0.1]", "no 'search' there|did you mean 'damping'"),
        ("search={dampings=[0.1]}", "did you mean 'damping'"),
        ("search={damping=0.1}", "damping must be a list"),
        ("search={damping=[-0.1]}", "damping must be positive"),
        (
            "correction={top=-1, rank=1, factors={id='row-factors', bits=4}}",
            "top must be at least 0",
        ),
        ("correction={top=1, ranks=1}", "did you mean 'rank'"),
        ("correction=5", "correction must be an object"),
        ("corection={top=1}", "RULE.FIELD"),
    ],
)
def test_every_wrong_override_is_named(override: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        load_recipe("int6", [override])


def test_tensors_of_the_frontier_are_left_to_it_and_never_packed_without_it() -> None:
    spec = load_recipe("frontier")
    with from_state_dict(WEIGHTS) as checkpoint:
        selection = select(checkpoint)
        assert prepare(checkpoint, selection, spec, None) == {}
        with pytest.raises(UsageError, match=r"'fc.weight' must be prepared first"):
            compress(checkpoint, selection, spec)


def test_refined_steps_are_searched_without_data() -> None:
    weights = {"fc.weight": 3 * torch.randn(64, 48, generator=torch.Generator().manual_seed(2))}
    refined = 'matrices.steps={id="refined", refinements=%s, damping=%s}'
    clip = 'matrices.quantizer={id="row-int", bits=5, clip="given"}'
    tries = {
        (damping, count): run(weights, [clip, refined % (count, damping)], None)["fc.weight"]
        for damping in (0.01, 0.5)
        for count in (1, 3)
    }
    errors = {options: _error(prepared) for options, prepared in tries.items()}
    assert len(set(errors.values())) == 4
    search = "search={damping=[0.5, 0.01], refinements=[3, 1]}"
    found = run(weights, [clip, refined % (2, 0.1), search], None)["fc.weight"]
    assert _error(found) == min(errors.values())


def _error(prepared: Prepared) -> float:
    assert prepared.report is not None
    return prepared.report.mean_squared_error


def test_zero_scales_are_for_groups_alone() -> None:
    with pytest.raises(RecipeError, match="zero_scales is for group-absmean only"):
        load_recipe("int6", ["matrices.zero_scales=true"])
    spec = load_recipe("pr2086", ["matrices.zero_scales=true"])
    assert spec.rules[0].zero_scales
    assert spec.rules[0].to_json()["zero_scales"] is True
    assert "zero_scales" not in load_recipe("pr2086").rules[0].to_json()


def test_what_is_kept_can_be_pruned() -> None:
    weights = matrices()
    name = "blocks.0.fc.weight"
    tensor = run(weights, ["matrices.quantizer=keep", "matrices.prune=0.25"], None)[name]
    back = tensor.quantizer.dequantize(tensor.quantized)
    threshold = weights[name].abs().quantile(0.25)
    assert torch.equal(back, weights[name].masked_fill(weights[name].abs() < threshold, 0))


def test_the_shared_clip_of_pr1123_is_searched_for_each_matrix() -> None:
    name, draw = "blocks.0.mlp.down.weight", torch.Generator().manual_seed(4)
    weights = {name: torch.randn(4, 3000, generator=draw)}
    weights[name][:, 7] = 12
    tensor = run(weights, ["mlp_down.shared_clip=true"], None, "pr1123")[name]
    grid = RowAsymInt(4)
    share = grid.shared_clip(weights[name])
    assert share < 1
    expected = grid.quantize(weights[name], share=share)
    assert tensor.quantized.parts["codes"].tolist() == expected.parts["codes"].tolist()
    with pytest.raises(RecipeError, match="shared_clip is for row-asym-int only"):
        load_recipe("pr1123", ["rest.shared_clip=true"])
