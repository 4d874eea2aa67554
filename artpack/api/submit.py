"""``submit``: a folder for a contest, with one script that decodes and scores an artifact."""

import os
import shutil
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from artpack.api.eval_options import AuditOptions, WindowOptions
from artpack.api.submission_files import PathLike, SubmissionFiles, differences
from artpack.artifact.reader import open_artifact
from artpack.errors import ArtpackError, BudgetError, UsageError
from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.tokens.stream import is_text
from artpack.evaluation.ttt.load import Named, stored_recipe
from artpack.evaluation.ttt.recipe import placed
from artpack.models import ModelConfig
from artpack.models.defects import as_meant
from artpack.models.find import stored_model
from artpack.runners.settings import REFERENCE, Settings
from artpack.stages.progress import Progress
from artpack.submission.folder import (
    ARTIFACT,
    DECLARED,
    LIMIT_BYTES,
    README,
    REQUIREMENTS,
    SCRIPT,
    UNCOUNTED,
    Counted,
    count_folder,
)
from artpack.submission.readme import write_readme
from artpack.submission.record import RECORD, Submission, Windows
from artpack.submission.running import run_script
from artpack.submission.script import make_script
from artpack.system.atomic import check_new_folder, new_folder, write_atomically
from artpack.version import __version__


@dataclass(frozen=True)
class SubmitResult:
    """
    A submission.

    Attributes:
        folder: Where it is.
        submission: What it claims.
        audited: What an audit of the score found.
        notes: What was decided on the way, one line each.
    """

    folder: Path
    submission: Submission
    audited: tuple[Condition, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the audit found nothing."""
        return all(one.passed for one in self.audited)

    def to_json(self) -> dict[str, Any]:
        """Return it as data that JSON can carry."""
        return {
            "folder": str(self.folder),
            "passed": self.passed,
            "submission": self.submission.to_json(),
            "audit": [asdict(one) | {"passed": one.passed} for one in self.audited],
            "notes": list(self.notes),
        }


def submit(
    artifact: PathLike,
    folder: PathLike,
    *,
    train_script: PathLike,
    tokens: PathLike,
    tokenizer: PathLike,
    sidecar: PathLike | None = None,
    windows: WindowOptions | None = None,
    limit_bytes: int = LIMIT_BYTES,
    name: str | None = None,
    author: str = "",
    settings: Settings = REFERENCE,
    progress: Progress | None = None,
) -> SubmitResult:
    """
    Make a folder for a contest, whole or not at all.

    It has the artifact, one script that decodes and scores it with torch, numpy and
    sentencepiece, ``submission.json``, a README, ``requirements.txt`` and the script that the
    model was trained by. Its score is what its own script gave, in a process of its own, and
    must be artpack's to 1e-6. All files count but the README, ``submission.json`` and
    ``requirements.txt``.

    Args:
        artifact: A portable file, which describes a model of artpack's own.
        folder: Where to; missing or empty.
        train_script: The script that the model was trained by.
        tokens: What is scored: shards or ``.npy`` arrays.
        tokenizer: The SentencePiece model of the tokens.
        sidecar: Bytes per token; CaseOps tokens need them.
        windows: What of the tokens is run and scored.
        limit_bytes: What may count.
        name: What to call it; by default as the folder.
        author: Whose it is.
        settings: Device of the score; its precision is float32.
        progress: Told how far it is.

    Returns:
        What it claims, and what an audit of the score found.

    Raises:
        ArtifactError: The artifact is damaged.
        ArtpackError: The script does not do what it should: please report this.
        BudgetError: More counts than may.
        UsageError: The artifact needs a library or describes no model, or files are missing.
        OSError: A file cannot be read, or the folder cannot be made.

    """
    target, trained = Path(folder), Path(train_script)
    check_new_folder(target)
    _check(trained, tokens, settings)
    asked = (windows or WindowOptions()).resolved()
    scored = Windows(asked.placement, asked.size, asked.stride_tokens, asked.limit_tokens)
    content = Path(artifact).read_bytes()
    with open_artifact(content) as opened:
        config = _model_of(artifact, opened.header.model)
        learning = _learning(opened.header.provenance.get("ttt"), asked)
        recipe = None if learning is None else learning.recipe
        script = make_script(opened.header, config, ARTIFACT, scored, recipe)
    given = SubmissionFiles(tokens, tokenizer, sidecar)
    with new_folder(target) as place:
        write_atomically(place / ARTIFACT, [content])
        _write(place / SCRIPT, script.small)
        _write(place / REQUIREMENTS, "\n".join(DECLARED) + "\n")
        shutil.copyfile(trained, place / trained.name)
        counted = count_folder(place, ARTIFACT)
        _check_budget(counted, limit_bytes)
        printed = run_script(sys.executable, place / SCRIPT, given.arguments(settings))
        audit = AuditOptions(limit_bytes=limit_bytes, code_bytes=counted.code)
        own = given.score(
            place / ARTIFACT,
            asked,
            settings,
            learns=learning is not None,
            audit=audit,
            progress=progress,
        )
        if faults := differences(printed, own):
            raise ArtpackError(f"the script is wrong: {faults[0]}: please report this")
        assert own.audit is not None
        claims = Submission(
            author=author,
            name=name or target.resolve().name,
            val_loss=printed.val_loss,
            val_bpb=printed.val_bpb,
            val_loss_stderr=printed.val_loss_stderr,
            val_bpb_stderr=printed.val_bpb_stderr,
            scored_tokens=printed.tokens,
            scored_bytes=printed.bytes,
            bytes_total=counted.total,
            bytes_code=counted.code,
            bytes_artifact=counted.artifact,
            bytes_limit=limit_bytes,
            artifact=ARTIFACT,
            script=SCRIPT,
            train_script=trained.name,
            windows=scored,
            ttt=None if learning is None else learning.name,
            artpack=__version__,
            **given.data(target),  # type: ignore[arg-type] # two of the three are never None
        )
        readme = write_readme(claims, own.audit.conditions, own.audit.audited_targets)
        _write(place / README, readme)
        _write(place / RECORD, claims.text())
    return SubmitResult(target, claims, own.audit.conditions, own.notes)


def _check(trained: Path, tokens: PathLike, settings: Settings) -> None:
    """Refuse what cannot become a submission."""
    if not trained.is_file():
        raise UsageError(f"{trained}: no such script: give `train_script`")
    if trained.name in {ARTIFACT, SCRIPT, *UNCOUNTED}:
        raise UsageError(f"{trained}: a submission has another file of this name: rename it")
    if settings.precision != "fp32":
        raise UsageError("`settings`: a submission is scored in fp32")
    if is_text(os.fspath(tokens)):
        raise UsageError(f"{tokens}: the script reads token shards and arrays, no text")


def _check_budget(counted: Counted, limit_bytes: int) -> None:
    over = counted.total - limit_bytes
    if over > 0:
        raise BudgetError(
            f"{counted.artifact:,} bytes of artifact and {counted.code:,} of code are"
            f" {over:,} more than the limit of {limit_bytes:,}"
        )


def _write(path: Path, text: str) -> None:
    write_atomically(path, [text.encode()])


def _model_of(artifact: PathLike, stored: Any) -> ModelConfig:
    config = stored_model(stored)
    if config is None:
        raise UsageError(
            f"{artifact}: describes no model of artpack's own: a submission needs one to score"
        )
    return as_meant(config)


def _learning(carried: Any, windows: WindowOptions) -> Named | None:
    """Return the recipe that an artifact carries, with windows where it leaves them open."""
    if not isinstance(carried, dict):
        return None
    if windows.placement != WindowOptions().placement:
        raise UsageError(
            "the artifact carries a recipe of test-time training, which places the windows"
            " itself: leave `placement` out"
        )
    named = stored_recipe(carried)
    return replace(named, recipe=placed(named.recipe, windows.size, windows.stride))
