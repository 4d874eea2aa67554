"""Grouping: every row of every part in one group, like with like, bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artpack.artifact.header_decoder import check_coverage
from artpack.artifact.plan import Member, Plan, StreamPlan, TensorPlan
from artpack.coding.codecs import Stored
from artpack.coding.layouts import Rows
from artpack.coding.pipeline import Pipeline
from artpack.coding.symbol_coders import Bytes
from artpack.pack import grouping
from artpack.pack.grouping import group_members, role
from artpack.quantize import Fp16, RowInt
from artpack.quantize.rounding.clips import StdClip

INT6 = RowInt(bits=6, clip=StdClip(12.85))


def tensor(name: str, *shape: int) -> TensorPlan:
    return TensorPlan(name, shape, "float32", INT6 if len(shape) > 1 else Fp16())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("blocks.3.mlp.fc.weight", "blocks.*.mlp.fc.weight"),
        ("model.layers.12.experts.7.w1", "model.layers.*.experts.*.w1"),
        ("0.weight", "*.weight"),
        ("conv1.weight", "conv1.weight"),
        ("h2.3", "h2.*"),
    ],
)
def test_a_role_is_a_name_without_layer_numbers(name: str, expected: str) -> None:
    assert role(name) == expected


def test_layers_of_one_role_share_a_group_and_roles_do_not() -> None:
    tensors = [tensor(f"b.{i}.{kind}", 64, 128) for i in range(3) for kind in ("up", "down")]
    groups = group_members(tensors, [False] * 6)
    codes = [[m.tensor for m in group] for group in groups if group[0].part == 0]
    assert codes == [[0, 2, 4], [1, 3, 5]]


def test_fused_projections_are_cut_into_queries_keys_and_values() -> None:
    groups = group_members([tensor("attn.c_qkv.weight", 128, 64)], [True])
    assert groups[:3] == [
        (Member(0, 0, 0, 64),),
        (Member(0, 0, 64, 32),),
        (Member(0, 0, 96, 32),),
    ]


def test_a_projection_that_cannot_be_cut_stays_whole() -> None:
    for rows in (64, 127):
        assert group_members([tensor("c_qkv", rows, 64)], [True])[0] == (Member(0, 0, 0, rows),)


@given(
    shapes=st.lists(
        st.one_of(
            st.tuples(st.integers(0, 40)),
            st.tuples(st.integers(0, 40), st.integers(0, 20)),
            st.just(()),
        ),
        min_size=1,
        max_size=8,
    ),
    bound=st.integers(1, 300),
    split=st.booleans(),
)
def test_every_row_is_in_one_group_of_bounded_size(
    *, shapes: list[tuple[int, ...]], bound: int, split: bool
) -> None:
    tensors = tuple(tensor(f"layer.{i}", *shape) for i, shape in enumerate(shapes))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouping, "MAX_STREAM_SYMBOLS", bound)
        groups = group_members(tensors, [split] * len(tensors))
    pipeline = Pipeline(Rows(), Bytes(), Stored())
    plan = Plan(tensors, tuple(StreamPlan(group, pipeline) for group in groups))
    check_coverage(plan)
    for group in groups:
        shapes_of = plan.shapes(group)
        assert sum(r * c for r, c in shapes_of) <= max(bound, *(c for _, c in shapes_of))
