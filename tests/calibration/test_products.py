"""Every way to multiply with a matrix is seen, with the right inputs and gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint

from tests.calibration.sums import Reference, assert_same_sums, collected, draw, frozen

ROWS, COLS = 5, 4


WEIGHT, BIAS = draw(ROWS, COLS, seed=1), draw(ROWS, seed=2)
SHAPES = [(COLS,), (6, COLS), (2, 3, COLS), (2, 3, 2, COLS)]
WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: F.linear(x, WEIGHT),
    "linear with a bias": lambda x: F.linear(x, WEIGHT, BIAS),
    "linear by name": lambda x: F.linear(input=x, weight=WEIGHT),
    "the weight second": lambda x: x @ WEIGHT.T,
    "the weight first": lambda x: (WEIGHT @ x[..., None])[..., 0],
    "einsum": lambda x: torch.einsum("...i,oi->...o", x, WEIGHT),
    "einsum, weight first": lambda x: torch.einsum("oi,...i->...o", WEIGHT, x),
    "tensordot": lambda x: torch.tensordot(x, WEIGHT, dims=([-1], [1])),
    "a transposed copy": lambda x: x @ WEIGHT.T.contiguous(),
    "a clone": lambda x: F.linear(x, WEIGHT.clone()),
    "a cast": lambda x: F.linear(x.float(), WEIGHT.float()).double(),
    "vectors": lambda x: torch.stack([WEIGHT @ v for v in x.reshape(-1, COLS)]).view(
        *x.shape[:-1], ROWS
    ),
    "a batch of one": lambda x: (x.reshape(1, -1, COLS) @ WEIGHT.T[None]).view(*x.shape[:-1], ROWS),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", WAYS)
def test_a_product(way: str, shape: tuple[int, ...]) -> None:
    x, g = draw(*shape, seed=3), draw(*shape[:-1], ROWS, seed=4)
    expected = Reference()
    expected.inputs("w", x)
    expected.gradients("w", g)
    assert_same_sums(collected({"w": WEIGHT}, lambda: WAYS[way](x), g), expected.sums)


def test_rows_of_a_fused_matrix() -> None:
    x, y, g = draw(6, COLS), draw(3, COLS, seed=1), draw(6, 2, seed=2)
    expected = Reference()
    expected.inputs("w", x, 2 / ROWS)
    expected.inputs("w", y, 3 / ROWS)
    expected.gradients("w", F.pad(g, (0, 3)))
    expected.gradients("w", F.pad(g[:3], (2, 1)))
    upper, lower = WEIGHT[:2], WEIGHT[2:]

    def run() -> Tensor:
        first, second = F.linear(x, upper), F.linear(y, lower)
        return torch.cat([first, second[:, :2]])

    assert_same_sums(collected({"w": WEIGHT}, run, torch.cat([g, g[:3]])), expected.sums)


@pytest.mark.parametrize("turned", [False, True])
def test_matrices_that_a_model_has_fused(*, turned: bool) -> None:
    x, g = draw(6, COLS), draw(6, ROWS, seed=2)
    fused = WEIGHT.T.contiguous() if turned else WEIGHT
    rows = fused.T if turned else fused
    expected = Reference()
    for name, part in {"a": slice(2), "b": slice(2, ROWS)}.items():
        expected.inputs(name, x)
        expected.gradients(name, g[:, part])
    got = collected({"a": rows[:2], "b": rows[2:]}, lambda: x @ rows.T, g)
    assert_same_sums(got, expected.sums)


def test_columns_of_a_matrix() -> None:
    x, g = draw(6, COLS), draw(6, ROWS, seed=2)
    expected = Reference()
    expected.inputs("w", F.pad(x[:, :1], (0, 3)))
    expected.inputs("w", F.pad(x[:, 1:], (1, 0)))
    expected.gradients("w", g)  # each part of it goes by its share

    def run() -> Tensor:
        product: Tensor = x[:, :1] @ WEIGHT[:, :1].T + x[:, 1:] @ WEIGHT[:, 1:].T
        return product

    assert_same_sums(collected({"w": WEIGHT}, run, g), expected.sums)


def test_heads_of_a_matrix() -> None:
    weight, x, g = draw(6, COLS, seed=3), draw(2, 7, COLS), draw(2, 7, 3, seed=2)
    expected = Reference()
    expected.inputs("w", x[0], 1 / 2)
    expected.inputs("w", x[1], 1 / 2)
    expected.gradients("w", F.pad(g[0], (0, 3)))
    expected.gradients("w", F.pad(g[1], (3, 0)))
    heads = weight.view(2, 3, COLS)
    assert_same_sums(collected({"w": weight}, lambda: x @ heads.mT, g), expected.sums)


def test_a_matrix_that_is_stored_the_other_way_round() -> None:
    transformers = pytest.importorskip("transformers.pytorch_utils")
    layer = frozen(transformers.Conv1D(ROWS, COLS))
    x, g = draw(2, 3, COLS), draw(2, 3, ROWS, seed=1)
    expected = Reference()
    expected.inputs("w", x)
    expected.gradients("w", g)
    assert_same_sums(collected({"w": layer.weight.t()}, lambda: layer(x), g), expected.sums)
    assert not collected({"w": layer.weight}, lambda: layer(x), g)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("cols", [1, 2])
def test_the_smallest_matrices(rows: int, cols: int) -> None:
    weight, x, g = draw(rows, cols), draw(7, cols, seed=1), draw(7, rows, seed=2)
    expected = Reference()
    expected.inputs("w", x)
    expected.gradients("w", g)
    assert_same_sums(collected({"w": weight}, lambda: F.linear(x, weight), g), expected.sums)


def test_under_autocast_what_is_multiplied_is_seen() -> None:
    weight, x, g = WEIGHT.float(), draw(6, COLS).float(), draw(6, ROWS, seed=1).bfloat16()
    expected = Reference()
    expected.inputs("w", x.bfloat16())
    expected.gradients("w", g)

    def run() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return F.linear(x, weight)

    assert_same_sums(collected({"w": weight}, run, g), expected.sums)


def test_in_inference_mode_inputs_are_seen() -> None:
    x, expected = draw(2, 3, COLS), Reference()
    expected.inputs("w", x)

    @torch.inference_mode()
    def run() -> Tensor:
        return F.linear(x, WEIGHT)

    assert_same_sums(collected({"w": WEIGHT}, run), expected.sums)


def test_an_input_that_changed_in_place_is_another() -> None:
    expected = Reference()
    expected.inputs("w", draw(6, COLS))
    expected.inputs("w", draw(6, COLS) + 1)
    x = draw(6, COLS)

    def run() -> Tensor:
        return F.linear(x, WEIGHT) + F.linear(x.add_(1), WEIGHT)

    assert_same_sums(collected({"w": WEIGHT}, run), expected.sums)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_what_is_computed_again_is_not_counted_again(*, use_reentrant: bool) -> None:
    x, g = draw(6, COLS).requires_grad_(), draw(6, ROWS, seed=1)
    expected = Reference()
    expected.inputs("w", x)
    expected.gradients("w", g)

    def run() -> Tensor:
        again: Tensor = checkpoint(F.linear, x, WEIGHT, use_reentrant=use_reentrant)
        return again

    assert_same_sums(collected({"w": WEIGHT}, run, g), expected.sums)


def test_learned_queries_meet_a_matrix() -> None:
    queries, g = draw(6, COLS), draw(6, ROWS, seed=1)
    got = collected({"w": WEIGHT, "queries": queries}, lambda: F.linear(queries, WEIGHT, BIAS), g)
    expected = Reference()
    expected.inputs("w", queries)
    expected.gradients("w", g)
    assert_same_sums({name: got[name] for name in expected.sums}, expected.sums)


def test_two_names_of_one_matrix_see_the_same() -> None:
    x = draw(6, COLS)
    got = collected({"a": WEIGHT, "b": WEIGHT}, lambda: F.linear(x, WEIGHT), draw(6, ROWS))
    assert sorted(got) == [
        f"{kind} {name}" for kind in ("covariance", "hessian", "rows") for name in "ab"
    ]
    assert torch.equal(got["hessian a"], got["hessian b"])


def test_the_users_input_is_left_as_it_was() -> None:
    x = draw(6, COLS)
    collected({"w": WEIGHT}, lambda: F.linear(x, WEIGHT), draw(6, ROWS))
    assert not x.requires_grad
    assert x.grad is None


def test_elementwise_use_is_not_seen() -> None:
    x = draw(ROWS, COLS)
    assert not collected({"w": WEIGHT}, lambda: x * WEIGHT + WEIGHT, draw(ROWS, COLS))


class Experts(nn.Module):
    """A stack of matrices, one of which each token is multiplied with."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = nn.Parameter(draw(3, ROWS, COLS), requires_grad=False)
        self.places = {f"stack.{i}": self.stack[i] for i in range(3)}
        self.chosen = torch.tensor([2, 0, 2, 2])

    def loop(self, x: Tensor) -> Tensor:
        rows = [F.linear(one, self.stack[i]) for one, i in zip(x, self.chosen, strict=True)]
        return torch.stack(rows)

    def sorted(self, x: Tensor) -> Tensor:
        order = self.chosen.argsort(stable=True)
        ends = torch.bincount(self.chosen, minlength=3).cumsum(0)
        parts = [
            x[order][end - count : end] @ self.stack[i].mT
            for i, (end, count) in enumerate(zip(ends, torch.bincount(self.chosen), strict=True))
        ]
        return torch.cat(parts)[order.argsort()]


@pytest.mark.parametrize("way", ["loop", "sorted"])
def test_experts_see_their_own_tokens(way: str) -> None:
    experts, x, g = Experts(), draw(4, COLS), draw(4, ROWS, seed=1)
    expected = Reference()
    for i in (0, 2):
        expected.inputs(f"stack.{i}", x[experts.chosen == i])
        expected.gradients(f"stack.{i}", g[experts.chosen == i])
    got = collected(experts.places, lambda: getattr(experts, way)(x), g)
    reached = {name: total for name, total in got.items() if total.any()}
    assert_same_sums(reached, expected.sums)


@pytest.mark.parametrize("weight_first", [False, True])
def test_all_experts_at_once(*, weight_first: bool) -> None:
    experts, x, g = Experts(), draw(3, 6, COLS), draw(3, 6, ROWS, seed=1)
    expected = Reference()
    for i in range(3):
        expected.inputs(f"stack.{i}", x[i])
        expected.gradients(f"stack.{i}", g[i])

    def run() -> Tensor:
        return (experts.stack @ x.mT).mT if weight_first else x @ experts.stack.mT

    assert_same_sums(collected(experts.places, run, g), expected.sums)


@pytest.mark.skipif(not hasattr(torch, "_grouped_mm"), reason="torch has no grouped product")
def test_a_grouped_product() -> None:
    stack = draw(3, 8, 16).bfloat16()
    x, g, ends = draw(6, 16).bfloat16(), draw(6, 8).bfloat16(), torch.tensor([2, 2, 6])
    places, expected = {f"stack.{i}": stack[i] for i in range(3)}, Reference()
    for i, tokens in {0: slice(2), 2: slice(2, 6)}.items():
        expected.inputs(f"stack.{i}", x[tokens])
        expected.gradients(f"stack.{i}", g[tokens])
    offsets = ends.int()
    got = collected(places, lambda: torch._grouped_mm(x, stack.mT, offs=offsets), g)
    reached = {name: total for name, total in got.items() if total.any()}
    assert_same_sums(reached, expected.sums)
