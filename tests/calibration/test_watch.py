"""Lookups, what a model does with its tensors, and gradients that are a Fisher information."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.parametrizations import weight_norm

from artpack.calibration.file import ROUNDING
from artpack.calibration.moments import MAX_ROWS, Moments, moments_bytes
from artpack.calibration.usage import Usage, discover
from artpack.models.simulate import FakeRowInt, simulate
from tests.calibration.sums import Reference, assert_same_sums, collected, draw, frozen

TABLE = draw(6, 4)
INDEX = torch.tensor([[1, 5, 1], [0, 0, 3]])
LOOKUPS: dict[str, Callable[[], Tensor]] = {
    "a function": lambda: F.embedding(INDEX, TABLE),
    "by name": lambda: F.embedding(input=INDEX, weight=TABLE),
    "a module": lambda: nn.Embedding(6, 4, _weight=TABLE, _freeze=True)(INDEX),
    "an index": lambda: TABLE[INDEX],
    "short integers": lambda: TABLE[INDEX.int()],
    "a selection": lambda: torch.index_select(TABLE, 0, INDEX.flatten()).view(2, 3, 4),
    "a method": lambda: TABLE.index_select(dim=0, index=INDEX.flatten()).view(2, 3, 4),
    "a cast": lambda: F.embedding(INDEX, TABLE.float()).double(),
    "changed in place": lambda: F.embedding(INDEX, TABLE).mul_(1),
    "a grid": lambda: F.embedding(INDEX, simulate(FakeRowInt(8), TABLE)),
}


@pytest.mark.parametrize("way", LOOKUPS)
def test_a_lookup(way: str) -> None:
    g, expected = draw(2, 3, 4, seed=1), Reference()
    expected.looked_up("t", INDEX, 6, g)
    assert_same_sums(collected({"t": TABLE}, LOOKUPS[way], g), expected.sums)


def test_rows_of_a_part_of_a_table() -> None:
    g, expected = draw(3, 4, seed=1), Reference()
    expected.looked_up("t", torch.tensor([2, 3, 2]), 6, g)
    got = collected({"t": TABLE}, lambda: TABLE[2:][torch.tensor([0, 1, 0])], g)
    assert_same_sums(got, expected.sums)


@pytest.mark.parametrize("rows", [(slice(None), INDEX[1]), TABLE[:, 0] > 0, 2, slice(1, 3)])
def test_columns_and_masks_are_no_lookups(rows: Any) -> None:
    usage = discover({"t": TABLE}, lambda: TABLE[rows])
    assert usage.unseen == {"t"}


class Mixed(nn.Module):
    """Tensors that all kinds of things are done with."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(6, 4)
        self.conv = nn.Conv1d(4, 4, 3, padding=1, bias=False)
        self.normed = weight_norm(nn.Linear(4, 4))
        self.turned = nn.Parameter(torch.randn(4, 6))
        self.scale = nn.Parameter(torch.randn(3, 4))
        self.idle = nn.Linear(4, 4)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.conv(self.table(ids).mT).mT * self.scale
        return F.linear(self.normed(x) @ self.turned, self.table.weight.T)


def test_uses_are_told_apart() -> None:
    model = frozen(Mixed())
    normed = {f"normed.parametrizations.weight.original{i}" for i in range(2)}
    assert discover(dict(model.named_parameters()), lambda: model(INDEX)) == Usage(
        matrices=frozenset({"conv.weight"}),
        transposed=frozenset({"turned", "table.weight"}),
        tables=frozenset({"table.weight"}),
        unseen=frozenset({"scale", "idle.weight", *normed}),
    )


def test_weights_on_a_grid_are_seen_as_what_is_stored() -> None:
    weight, x, g = draw(5, 4), draw(3, 4, seed=1), draw(3, 5, seed=2)
    expected = Reference()
    expected.inputs("w", x)
    expected.gradients("w", g)
    got = collected({"w": weight}, lambda: F.linear(x, simulate(FakeRowInt(4), weight)), g)
    assert_same_sums(got, expected.sums)


def test_the_gradients_are_a_fisher_information() -> None:
    weight, x, count = draw(3, 4), draw(5, 4, seed=1), 4000
    logits = x @ weight.T
    p = logits.softmax(-1)
    labels = torch.multinomial(
        p, count, replacement=True, generator=torch.Generator().manual_seed(0)
    )
    moments = Moments()
    with moments.watch({"w": weight}):
        again = F.linear(x.repeat_interleave(count, 0), weight)
        torch.autograd.backward(F.cross_entropy(again, labels.flatten(), reduction="sum"))
    rows = moments.mean_rows(count * len(x))["w"]
    sampled = moments.mean_output_covariances(count * len(x))["w"].double()
    exact = (p.diag_embed() - p[:, :, None] * p[:, None, :]).mean(0)
    # A product of gradients is within -1 and 1, so its standard deviation is at most 1.
    assert float((sampled - exact).abs().max()) < 5 / (count * len(x)) ** 0.5
    torch.testing.assert_close(rows.double(), sampled.diagonal(), rtol=ROUNDING, atol=0)


def test_bytes_are_those_of_the_sums() -> None:
    model, moments = frozen(nn.Embedding(6, 4)), Moments()
    places = {"w": model.weight}
    with moments.watch(places):
        torch.autograd.backward(F.linear(model(INDEX), model.weight).sum())
    sums = [total for total in moments.tensors() if total.ndim]  # beside them a count or two
    assert moments_bytes(places) == {"w": sum(total.nbytes for total in sums)}
    wide = {"head": torch.empty(MAX_ROWS + 1, 2), "bias": torch.empty(3)}
    assert moments_bytes(wide) == {"head": 4 * 4 + 16 * (MAX_ROWS + 1)}


def test_some_tensors_at_a_time_see_what_all_do() -> None:
    model = frozen(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)))
    x, g = draw(5, 4), draw(5, 2, seed=1)
    places = {name: p for name, p in model.named_parameters() if p.ndim == 2}
    parts = [collected({name: place}, lambda: model(x), g) for name, place in places.items()]
    assert_same_sums(parts[0] | parts[1], collected(places, lambda: model(x), g))


def test_sums_that_are_not_there_start_at_zero() -> None:
    some, more = Moments(), Moments()
    for moments, weight in ((some, "a"), (more, "b")):
        with moments.watch({weight: TABLE}):
            torch.autograd.backward(F.linear(TABLE[INDEX], TABLE).sum())
    some.fill(more.shapes(), "cpu")
    assert some.shapes() == {kind: {**sums, "a": sums["b"]} for kind, sums in more.shapes().items()}
    assert [total.dtype for total in some.tensors()] == [
        total.dtype for total in more.tensors() for _ in range(2)
    ]
    assert not some.hessians["b"].any()
    assert some.hessians["a"].any()
