"""
Compare two small models on however many processes there are; rank 0 writes the result.

    python compare_on_ranks.py OUT.json
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import nn

from artpack.evaluation.scoring.score import compare
from artpack.evaluation.tokens.documents import by_document
from artpack.evaluation.windows.plan import share_rows
from artpack.evaluation.windows.sliding import sliding
from artpack.models import GPT, ModelConfig
from artpack.models.mechanisms import Rope, Softcap
from artpack.runners.settings import Settings
from artpack.system.ranks import Ranks, joined


def make_model(noise: float) -> GPT:
    """Return a random model, the same every time, plus some noise."""
    torch.manual_seed(0)
    model = GPT(ModelConfig(64, 32, 2, 4, 2, 64, Rope(10000.0, 8), Softcap("tanh", 30.0)))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
        parameter.data += noise * torch.randn_like(parameter)
    return model.eval()


def main(out: Path) -> None:
    """Score two plans, of which the second has fewer batches than there are processes."""
    torch.set_num_threads(1)
    ids = np.random.default_rng(0).integers(0, 64, 3000).astype(np.uint16)
    models = make_model(0.0), make_model(0.02)
    plans = sliding(2999, 64, 24), share_rows(by_document(ids, 64, 64)), sliding(2999, 2999, 2999)
    with joined("cpu") as device:
        settings = Settings(device=device, batch_tokens=512)
        results = [
            asdict(compare(*models, ids, plan, np.ones(3000, np.int64), settings=settings))
            for plan in plans
        ]
        if Ranks.current().rank == 0:
            out.write_text(json.dumps({"world": Ranks.current().world, "results": results}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
