"""
Take a few steps on however many processes there are; rank 0 writes the result.

    python train_on_ranks.py DATA OUT.pt
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from artpack.models import preset
from artpack.system.ranks import Ranks, joined
from artpack.training.data import read_data
from artpack.training.loop import Machine, Run
from artpack.training.recipe import load_training
from artpack.training.scale import scale_model
from artpack.training.settings import Qat

SETTINGS = ["batches.tokens=256", "batches.window_tokens=32", "batches.micro_tokens=128"]


def main(folder: Path, out: Path) -> None:
    """Train with the clock on, so that the processes have to agree on the schedule."""
    torch.set_num_threads(1)
    data = read_data(folder)
    config = scale_model(preset("lm6m"), vocab_size=data.vocab_size, layers=2, width=32)
    training = load_training("plain", [*SETTINGS, "schedule.seconds=1e9"], steps=5)
    training = replace(training, qat=Qat("int4", rate_weight=0.1, rate_share=1.0))
    with joined("cpu") as device:
        run = Run(training, config, data, Machine(device, "fp32"))
        while run.done < 1:
            run.advance(run.done)
        if Ranks.current().rank == 0:
            losses = [row["loss"] for row in run.log]
            world = Ranks.current().world
            torch.save({"weights": run.model.state_dict(), "losses": losses, "world": world}, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
