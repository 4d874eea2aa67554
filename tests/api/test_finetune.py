"""``artpack.finetune``: tokens have one use each, and the file is nearer to its checkpoint."""

import numpy as np
import pytest
import torch
from torch import Tensor

import artpack
from artpack.api.learning import Learning, share_out
from artpack.api.runnable import DataOptions, LiveModule
from artpack.calibration.collect import CALIBRATION
from artpack.errors import ArtpackError, UsageError
from artpack.models import PRESETS, build
from artpack.runners.batches import TokenBatches
from artpack.runners.distillation import NextToken
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from tests.models.conftest import random_weights, shrink

CONFIG = shrink(PRESETS["lm6m"].config)
WEIGHTS = random_weights(CONFIG)
TOKENS = np.random.default_rng(0).integers(0, 61, 4_096).astype(np.uint16)


def finetuned(**settings: object) -> artpack.CompressResult:
    given: dict[str, object] = {
        "model": CONFIG,
        "steps": 1,
        "profile": "fast",
        "jobs": 1,
        **settings,
    }
    return artpack.finetune(WEIGHTS, TOKENS, **given)  # type: ignore[arg-type]


def test_the_budget_is_kept_and_the_loss_is_measured_on_other_tokens() -> None:
    result = finetuned(budget=30_000)
    assert 29_000 < result.size_bytes <= 30_000
    assert result.loss is not None
    told = [note for note in result.notes if note.startswith("learning: ")]
    assert len(told) == 1


def test_no_window_is_both_learned_from_and_measured_on() -> None:
    ids = np.arange(200_000)
    model = LiveModule(torch.nn.Linear(2, 2))
    shares = share_out(model, DataOptions(tokens=ids, window_tokens=100), Learning(10), CALIBRATION)
    parts = []
    for batches in (shares.measured, shares.learned, shares.calibrated):
        assert isinstance(batches, TokenBatches)
        parts.append(set(batches.windows[:, 0].tolist()))
    measured, learned, calibrated = parts
    assert not measured & learned
    assert calibrated <= learned
    assert shares.notes[-1] == (
        "learning: 40,000 tokens, 0.98 epochs of 41,000; calibrated with 32,700 of these;"
        " losses are measured on 32,700 others"
    )


def test_the_next_token_is_what_cross_entropy_says_it_is() -> None:
    model = build(CONFIG, WEIGHTS)
    windows = TOKENS[:32].astype(np.int64).reshape(2, 16)
    objective = NextToken(GptRunner(model), TokenBatches(windows, 32), places(model, banks=None))
    ids = torch.from_numpy(windows)
    logits: Tensor = model.logits(model.hidden(ids))
    expected = -logits.log_softmax(-1)[:, :-1].gather(-1, ids[:, 1:, None]).mean()
    torch.testing.assert_close(objective({}), expected)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"steps": 0}, "`steps` must be 1 or more, got 0"),
        (
            {"loss": "perplexity"},
            "`loss` must be divergence, next-token or training, got 'perplexity'",
        ),
        ({"code_bytes": 5}, "`code_bytes` counts into a budget: give `budget`"),
        ({"budget": 100}, "nothing fits into 100 bytes"),
    ],
)
def test_what_cannot_be_done_is_said(settings: dict[str, object], fault: str) -> None:
    with pytest.raises(ArtpackError, match=fault):
        finetuned(**settings)


def test_one_window_cannot_be_divided() -> None:
    with pytest.raises(UsageError, match="two windows are needed at least"):
        artpack.finetune(WEIGHTS, TOKENS[:10], model=CONFIG)
