"""
Collect sums of a small model on however many processes there are; every rank writes its own.

    python calibrate_on_ranks.py OUT.safetensors
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from artpack.calibration.collect import CALIBRATION, collect
from artpack.models import GPT, ModelConfig
from artpack.models.mechanisms import Rope, Softcap
from artpack.runners import self_generate as self_generation
from artpack.runners.batches import TokenBatches
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from artpack.runners.self_generate import self_generate
from artpack.system.ranks import joined


def make_model() -> GPT:
    """Return a random model, the same every time."""
    torch.manual_seed(0)
    model = GPT(ModelConfig(64, 32, 2, 4, 2, 64, Rope(10000.0, 8), Softcap("tanh", 30.0)))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def main(out: Path) -> None:
    """Run five batches, one batch, which leaves a process idle, and windows of its own writing."""
    torch.set_num_threads(1)
    self_generation._WRITTEN_AT_ONCE = 16  # one window a batch, so that there is something to share
    model, sums = make_model(), dict[str, torch.Tensor]()
    windows = np.random.default_rng(0).integers(0, 64, (9, 16))
    with joined("cpu") as device:
        settings = replace(CALIBRATION, device=device, batch_tokens=32)
        runner = GptRunner(model)
        written = self_generate(runner, 3, 16, seed=1)
        for run, some in {"many": windows, "one": windows[:2], "own": written}.items():
            batches = TokenBatches(some, settings.batch_tokens)
            moments = collect(runner, batches, places(model), settings=settings)
            sums |= {f"{run} hessian {k}": v for k, v in moments.mean_hessians(1).items()}
            sums |= {f"{run} rows {k}": v for k, v in moments.mean_rows(1).items()}
            sums |= {f"{run} lookups {k}": v for k, v in moments.mean_lookups(1).items()}
            sums |= {
                f"{run} output_covariances {k}": v
                for k, v in moments.mean_output_covariances(1).items()
            }
    save_file(sums, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
