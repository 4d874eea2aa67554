"""Writing token by token is the whole forward pass, one position at a time."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from artpack.models import GPT
from artpack.models.generate import draw_tokens, generate


@torch.no_grad()
def test_every_token_is_drawn_from_what_the_whole_window_says(tiny: GPT) -> None:
    uniform = np.random.default_rng(0).random((3, 20), np.float32)
    ids = generate(tiny, uniform, bos_id=1, temperature=0.7)
    assert ids.shape == (3, 20)
    assert (ids[:, 0] == 1).all()
    logits = tiny(torch.from_numpy(ids))[:, :-1].flatten(0, 1) / 0.7
    draws = torch.from_numpy(uniform[:, 1:]).flatten()
    assert torch.equal(draw_tokens(logits, draws), torch.from_numpy(ids[:, 1:]).flatten())


def test_a_window_does_not_depend_on_its_company(make_tiny: Callable[[str], GPT]) -> None:
    model = make_tiny("pr1934")
    uniform = np.random.default_rng(0).random((4, 12), np.float32)
    together = generate(model, uniform, bos_id=1)
    assert np.array_equal(together[2:3], generate(model, uniform[2:3], bos_id=1))


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([0.1, 0.0, 0.6, 0.3]).log()
    uniform = torch.linspace(0, 1, 1001)[:-1]
    counts = torch.bincount(draw_tokens(logits.expand(1000, 4), uniform), minlength=4)
    assert counts.tolist() == pytest.approx([100, 0, 600, 300], abs=1)
