"""Losses of single tokens, as the evaluator sums them."""

import numpy as np
from numpy.typing import NDArray

from artpack.evaluation.scoring.forward import measure_plan
from artpack.evaluation.scoring.score import _losses
from artpack.evaluation.tokens.shards import Tokens
from artpack.evaluation.windows.plan import WindowPlan
from artpack.runners.protocol import LanguageModel
from artpack.runners.settings import REFERENCE


def token_losses(model: LanguageModel, ids: Tokens, plan: WindowPlan) -> NDArray[np.float32]:
    """Return nats in the order of ``plan.scored_targets()``."""
    return measure_plan([model], ids, plan, _losses, columns=1, settings=REFERENCE)[:, 0]
