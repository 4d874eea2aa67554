"""
Adapt a tiny model in every way on however many processes there are; rank 0 writes the scores.

    python adapt_on_ranks.py OUT.json
"""

import json
import sys
from pathlib import Path

import torch

from artpack.evaluation.ttt.adaptation import adapt
from artpack.system.ranks import Ranks, joined
from tests.evaluation.ttt.conftest import SETS, tiny_model, tiny_recipe, tiny_stream

WAYS = {name: (name,) for name in SETS} | {
    "fitted": ("scalars", "fit_temperature=true"),
    "joint": ("lora", "joint=true", "order=short-first"),
    "kept": ("phased", "keep_inputs=true", "documents=4"),
}


def main(out: Path) -> None:
    """Score with each strategy, and with what makes documents or processes depend on each other."""
    torch.set_num_threads(1)
    results = {}
    with joined("cpu"):
        for way, sets in WAYS.items():
            adapted = adapt(tiny_model(), tiny_stream(), tiny_recipe(*sets))
            weights = [float(p.detach().double().norm()) for p in adapted.model.parameters()]
            curve = [point.loss_nats for point in adapted.curve]
            results[way] = [adapted.score.loss_sum_nats, *curve, *weights]
        if Ranks.current().rank == 0:
            out.write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
