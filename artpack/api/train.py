"""The job of ``artpack.train``: a recipe and tokens into a checkpoint."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from artpack.api.pack_run import check_budget, pack_run, tokens_of
from artpack.api.sources import check_device
from artpack.models import preset
from artpack.stages.progress import Progress
from artpack.training.data import read_data
from artpack.training.division import divide
from artpack.training.loop import Machine
from artpack.training.recipe import load_training
from artpack.training.scale import scale_model
from artpack.training.train import TrainResult
from artpack.training.train import train as train_model


def train(
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    recipe: str = "plain",
    overrides: Sequence[str] = (),
    layers: int | None = None,
    width: int | None = None,
    steps: int | None = None,
    budget: int | None = None,
    held_out_tokens: int | None = None,
    device: str = "cpu",
    precision: Literal["fp32", "bf16"] = "bf16",
    resume: bool = False,
    progress: Progress | None = None,
) -> TrainResult:
    """
    Train a model from scratch into ``ckpt.pt``, ``config.json`` and ``train.json``.

    With a budget also into ``ckpt.artpack``: the last twentieth of the steps learns the next
    token while weights are quantized, as :func:`artpack.finetune` does.

    In a torch process group the processes share each step. A signal to stop is heeded
    after the step at hand, with the state written.

    Args:
        data: A folder that :func:`~artpack.api.tokenize.tokenize` wrote.
        output: The folder that the checkpoint goes into; made if it is missing.
        recipe: Name of a training recipe, or path of a TOML file.
        overrides: Changes to it: ``batches.tokens=8192``, ``groups.1.lr=0.01``.
        layers: Scale the model to so many layers.
        width: Scale the model to this width.
        steps: Scale the run to so many steps, with its warm-ups and averages.
        budget: Make the best file of no more bytes than this.
        held_out_tokens: Score no more than the first so many held-out tokens.
        device: Where the model is trained.
        precision: ``bf16`` autocasts; weights and averages are fp32 in both.
        resume: Go on from the state in ``output``, if there is one. It may have been trained
            for another budget.
        progress: Told after every step how far it is, with loss and speed.

    Returns:
        What the run ended with.

    Raises:
        BudgetError: Nothing fits; says what would. The state has been written.
        RecipeError: There is no such recipe, or it is wrong.
        UsageError: The folder has a state and ``resume`` is not set, or another model's
            files, or recipe and data do not fit, or the run is none that could be packed.
        CheckpointError: The state is of another run.
        KeyboardInterrupt: A signal to stop came; the state has been written.

    """
    check_device(device)
    training = load_training(recipe, overrides, steps=steps)
    read = read_data(Path(data), held_out_tokens=held_out_tokens)
    config = scale_model(
        preset(training.model), vocab_size=read.vocab_size, layers=layers, width=width
    )
    whole = partial(
        train_model,
        training,
        config=config,
        data=read,
        folder=Path(output),
        machine=Machine(device, precision),
        resume=resume,
        progress=progress,
    )
    if budget is None:
        return whole()
    check_budget(budget)
    division = divide(training, config)
    result = whole(stop_step=division.steps, further_tokens=tokens_of(division))
    return pack_run(result, read, division, budget=budget, device=device, progress=progress)
