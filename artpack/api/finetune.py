"""The job of ``artpack.finetune``: a checkpoint learns on tokens to fit into a budget."""

import os

from artpack.api.compress import CompressResult, check_goal, make_scorer, result_of
from artpack.api.inputs import CompressInputs
from artpack.api.learning import Learning, LearningLoss
from artpack.api.opened_inputs import open_inputs
from artpack.api.scoring import Scoring
from artpack.api.sources import WeightSource
from artpack.api.tokens import TokenSource
from artpack.coding.profiles import profile_named
from artpack.models import ModelConfig
from artpack.pack.packer import Goal, Packer
from artpack.recipes import FRONTIER_RECIPE, load_recipe
from artpack.stages.progress import Progress
from artpack.system.run_folder import RunFolder


def finetune(
    source: WeightSource,
    tokens: TokenSource,
    *,
    budget: int | None = None,
    code_bytes: int = 0,
    steps: int = 100,
    loss: LearningLoss = "divergence",
    model: ModelConfig | str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    scoring: Scoring | None = None,
    key: str | None = None,
    strip_prefix: str | None = None,
    profile: str = "default",
    device: str = "cpu",
    jobs: int | None = None,
    run_folder: RunFolder | None = None,
    progress: Progress | None = None,
) -> CompressResult:
    """
    Pack weights into one small file, and let them learn on many tokens while they are quantized.

    The same as :func:`artpack.compress` with its ``tune_steps``, on more tokens than a calibration
    has. As many windows as the steps need are taken, spread evenly over all tokens; some are set
    aside, neither calibrated with nor learned from, and the loss is measured on those.

    Args:
        source: A file or folder, a state dict or a module.
        tokens: Training tokens: files, or an array of ids (tokens,).
        budget: Make the best file of no more bytes than this, ``code_bytes`` included.
        code_bytes: Bytes of code that count into the budget.
        steps: Batches of 4,096 tokens that are learned from.
        loss: ``divergence`` from the checkpoint, or that of the ``next-token``; ``training``
            is the latter at the rate of weights that are not trained to the end.
        model: The weights' model, a config, preset or file; None to find it.
        tokenizer: SentencePiece model of the tokens, where the model has none of its own.
        scoring: Score the file beside its checkpoint on these tokens.
        key: Where in a file of ``torch.save`` the weights are.
        strip_prefix: What to take off their names.
        profile: How hard to look for the smallest coding: ``fast``, ``default``, ``max``.
        device: Where the model runs and learns.
        jobs: Threads, None for one a core.
        run_folder: Keeps what is found on the way, so that the same call goes on from there
            if it was ended; see :class:`artpack.RunFolder`.
        progress: Told how far it is.

    Returns:
        The file in memory; its notes say how many tokens were used for what. The same input
        gives the same bytes on the same machine.

    Raises:
        BudgetError: Nothing fits; says what would.
        CheckpointError: The weights are not usable.
        UsageError: Arguments do not go together, or there are too few tokens.

    """
    goal, spec = Goal(budget, code_bytes), load_recipe(FRONTIER_RECIPE)
    check_goal(goal)
    chosen = CompressInputs(
        source=source,
        key=key,
        strip_prefix=strip_prefix,
        model=model,
        calibration_tokens=tokens,
        learning=Learning(steps, loss),
        tokenizer=tokenizer,
        device=device,
        jobs=jobs,
        run_folder=run_folder,
    )
    with open_inputs(chosen, progress) as inputs:
        scorer = make_scorer(scoring, inputs, progress)
        packer = Packer(
            inputs.pack, spec, profile_named(profile), tune_steps=steps, progress=progress
        )
        return result_of(packer.make(goal), inputs, spec, goal, scorer)
