"""What is told of a file before it is made."""

import pytest
import torch

from artpack.checkpoint import from_state_dict
from artpack.checkpoint.selection import select
from artpack.errors import CheckpointError
from artpack.pack.compress import compress, expected_size
from artpack.recipes import load_recipe


def test_a_file_of_small_groups_is_as_large_as_expected() -> None:
    draw = torch.Generator().manual_seed(0)
    weights = {
        "fc.weight": torch.randn(96, 64, generator=draw),
        "scale": torch.randn(512, generator=draw).round(),
    }
    with from_state_dict(weights) as checkpoint:
        given = checkpoint, select(checkpoint), load_recipe("int6")
        assert expected_size(*given) == compress(*given).size_bytes


@pytest.mark.parametrize(
    ("shape", "fault"),
    [
        ((1,) * 9, "9 dimensions, the limit is 8"),
        ((0, 1 << 31), "a dimension of 2147483648, the limit is 2147483647"),
        ((0, 1 << 21, 1 << 20), "2199023255552 weights, the limit is 1099511627776"),
    ],
)
def test_a_shape_that_no_reader_takes_is_not_written(shape: tuple[int, ...], fault: str) -> None:
    with from_state_dict({"a": torch.empty(shape)}) as checkpoint:
        selection = select(checkpoint)
        with pytest.raises(CheckpointError, match=f"'a': {fault}"):
            compress(checkpoint, selection, load_recipe("int6"))
