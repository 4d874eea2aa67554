import pytest
import torch
from torch import Tensor

from artpack.errors import UsageError
from artpack.models.document_mask import Documents


def starts(rows: list[str]) -> Tensor:
    return torch.tensor([[mark == "|" for mark in row] for row in rows])


def test_positions_count_from_each_start_and_each_row() -> None:
    documents = Documents.from_starts(starts(["..|.", "|||."]))
    assert documents.starts.tolist() == [[True, False, True, False], [True, True, True, False]]
    assert documents.positions.tolist() == [[0, 1, 0, 1], [0, 0, 0, 1]]


@pytest.mark.parametrize("rows", [["|"], ["|" * 9], ["........."], ["|.|...||.......|", "." * 16]])
def test_gathering_and_scattering_brings_every_token_back(rows: list[str]) -> None:
    documents = Documents.from_starts(starts(rows))
    tokens = torch.arange(documents.starts.numel())
    packed = torch.cat([tokens[gather].flatten() for gather in documents.gathers])
    assert torch.equal(packed[documents.scatter], tokens)


def test_a_gathered_row_begins_with_its_document() -> None:
    documents = Documents.from_starts(starts(["|..|.|...."]))
    begins = {int(row[0]) for gather in documents.gathers for row in gather}
    assert begins == {0, 3, 5}


def test_padding_is_less_than_the_tokens_themselves() -> None:
    generator = torch.Generator().manual_seed(1)
    marks = torch.rand(1, 4096, generator=generator) < 0.01
    documents = Documents.from_starts(marks)
    assert sum(gather.numel() for gather in documents.gathers) < 2 * 4096


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(4, dtype=torch.bool), torch.zeros(1, 4), torch.zeros(1, 0, dtype=torch.bool)],
)
def test_anything_but_a_matrix_of_bool_is_refused(wrong: Tensor) -> None:
    with pytest.raises(UsageError, match="starts must be bool"):
        Documents.from_starts(wrong)
