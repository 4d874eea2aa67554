"""What a training run to a budget ends with: its weights packed while they learn."""

from dataclasses import replace

from artpack.api.compress import CompressResult, check_goal
from artpack.api.finetune import finetune
from artpack.api.learning import HELD_OUT_TOKENS
from artpack.artifact.reader import open_artifact
from artpack.errors import BudgetError, UsageError
from artpack.models import GPT, ModelConfig, build
from artpack.pack.packer import Goal
from artpack.runners.batches import LEARNED_TOKENS
from artpack.stages.progress import Progress
from artpack.system.ranks import Ranks
from artpack.system.run_folder import RunFolder
from artpack.training.candidates import score_model
from artpack.training.data import Data
from artpack.training.division import Division
from artpack.training.run_state import CHECKPOINT_NAME
from artpack.training.train import FURTHER_NAME, PackedRun, TrainResult

ARTIFACT_NAME = "ckpt.artpack"


def check_budget(budget: int) -> None:
    """
    Check that a run can be packed here, and into so many bytes.

    Args:
        budget: How many.

    Raises:
        UsageError: It cannot.

    """
    check_goal(Goal(budget))
    if Ranks.current().world > 1:
        raise UsageError("`budget`: one process packs: train with several, and `finetune` then")


def tokens_of(division: Division) -> int:
    """Return how many tokens are learned from while packing, or measured on."""
    return HELD_OUT_TOKENS + division.batches * LEARNED_TOKENS


def pack_run(
    result: TrainResult,
    data: Data,
    division: Division,
    *,
    budget: int,
    device: str,
    progress: Progress | None,
) -> TrainResult:
    """
    Pack what a run was trained to, learning from the tokens that come next.

    Args:
        result: The first part of the run; its folder has these tokens.
        data: What was trained on.
        division: How long the parts are.
        budget: Make the best file of no more bytes than this.
        device: Where the model runs and learns.
        progress: Told how far it is.

    Returns:
        The same with the file, which lies in its folder.

    Raises:
        BudgetError: Nothing fits; says what would.
        CheckpointError: The weights are not usable.
        UsageError: Their model cannot be run.

    """
    file = result.folder / ARTIFACT_NAME
    run = RunFolder(result.folder / f"{ARTIFACT_NAME}.run", "train")
    try:
        made = finetune(
            result.folder / CHECKPOINT_NAME,
            result.folder / FURTHER_NAME,
            budget=budget,
            steps=division.batches,
            loss="training",
            device=device,
            run_folder=run,
            progress=progress,
        )
        made.save(file)
    except BudgetError:
        run.remove()
        raise
    run.remove()
    window = division.window_tokens
    score = score_model(_read_back(made, result.config, device), data.held_out, window, device)
    return replace(result, packed=PackedRun(file, made.size_bytes, score, made.notes))


def _read_back(made: CompressResult, config: ModelConfig, device: str) -> GPT:
    """Build the model that a file holds."""
    packed = made.result.packed
    with open_artifact(packed.content(), max_decoded_bytes=packed.decoded_bytes) as artifact:
        return build(config, artifact.load()).to(device)
