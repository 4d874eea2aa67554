"""Weights as matrices, a few rows at a time."""

import pytest
import torch

from artpack.errors import UsageError
from artpack.quantize import matrix_view as weights
from artpack.quantize.matrix_view import finite_chunks, matrix_shape, reject, row_chunks, steady_sum


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4, 5), (0,), (4, 0), (0, 4)], ids=str)
def test_a_matrix_has_as_many_elements_as_its_tensor(shape: tuple[int, ...]) -> None:
    rows, cols = matrix_shape(shape)

    assert rows * cols == torch.empty(shape).numel()


@pytest.mark.parametrize("shape", [(0, 0), (1, 1000), (7, 30), (300, 1), (12, 0)], ids=str)
def test_chunks_cover_every_row_once_in_order(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "CHUNK_WEIGHTS", 100)

    chunks = list(row_chunks(shape))

    assert [row for at in chunks for row in range(at.start, at.stop)] == list(range(shape[0]))
    assert all((at.stop - at.start) * shape[1] <= max(100, shape[1]) for at in chunks)


def test_an_index_counts_from_the_start_of_the_tensor_not_of_the_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weights, "CHUNK_WEIGHTS", 4)
    weight = torch.zeros(5, 2, 2)
    weight[3, 1, 0] = float("nan")

    with pytest.raises(
        UsageError, match=r"^weight nan at \[3, 1, 0\] is not finite in fp32: only raw keeps it$"
    ):
        list(finite_chunks(weight, (5, 4)))


def test_a_scalar_is_named_by_an_empty_index() -> None:
    weight = torch.tensor(float("inf"))

    with pytest.raises(UsageError, match=r"^weight inf at \[\] is bad$"):
        reject(weight.isinf(), weight, 0, "is bad")


def test_a_single_long_sum_does_not_depend_on_the_number_of_threads() -> None:
    threads = torch.get_num_threads()
    random = torch.Generator().manual_seed(0)
    rows = torch.empty(20, 100_000).normal_(generator=random).abs()
    try:
        torch.set_num_threads(1)
        expected = rows.sum(dim=1)
        torch.set_num_threads(2)
        alone = [steady_sum(row.unsqueeze(0)) for row in rows]
    finally:
        torch.set_num_threads(threads)

    assert torch.equal(torch.cat(alone), expected)
    assert torch.equal(steady_sum(rows), expected)
