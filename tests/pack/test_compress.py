"""What is told of a file before it is made."""

import torch

from artpack.checkpoint import from_state_dict
from artpack.checkpoint.selection import select
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
