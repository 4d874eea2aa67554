"""``audit_submission``: a folder, checked as a stranger would."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from artpack.api.eval_options import WindowOptions
from artpack.api.submission_files import TOLERANCE, PathLike, SubmissionFiles, differences
from artpack.errors import ArtpackError
from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.audit.size import judge_size
from artpack.runners.settings import REFERENCE, Settings
from artpack.stages.progress import Progress
from artpack.submission.folder import REQUIREMENTS, Counted, count_folder, read_declared
from artpack.submission.record import Data, Submission, read_record
from artpack.submission.running import Printed, run_script
from artpack.submission.surroundings import make_fresh, make_linked


@dataclass(frozen=True)
class SubmissionReport:
    """
    What was found of a folder.

    Attributes:
        folder: Where it is.
        submission: What it claims.
        conditions: One for each thing that it should keep to.
        installed: Whether packages were those of this Python, and not freshly installed.
    """

    folder: Path
    submission: Submission
    conditions: tuple[Condition, ...]
    installed: bool

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return all(one.passed for one in self.conditions)

    def to_json(self) -> dict[str, Any]:
        """Return it as data that JSON can carry."""
        return {
            "folder": str(self.folder),
            "passed": self.passed,
            "installed": self.installed,
            "conditions": [asdict(one) | {"passed": one.passed} for one in self.conditions],
            "submission": self.submission.to_json(),
        }


def audit_submission(
    folder: PathLike,
    *,
    tokens: PathLike | None = None,
    tokenizer: PathLike | None = None,
    sidecar: PathLike | None = None,
    limit_bytes: int | None = None,
    installed: bool = False,
    settings: Settings = REFERENCE,
    progress: Progress | None = None,
) -> SubmissionReport:
    """
    Check a folder as a stranger would: count it, run its script alone, compare its score.

    The script is a stranger's program and runs with the rights of this process.

    Args:
        folder: What :func:`artpack.submit` made.
        tokens: What is scored; by default where the folder says, from itself.
        tokenizer: Likewise.
        sidecar: Likewise.
        limit_bytes: What may count; by default what the folder says.
        installed: Take the packages of this Python, but only those that the folder declares
            and what these need; by default pip installs them anew.
        settings: Device of the score.
        progress: Told how far it is.

    Returns:
        A finding for each condition.

    Raises:
        ArtpackError: What the folder declares cannot be installed.
        UsageError: The folder is no submission, or files are missing.

    """
    place = Path(folder)
    claims, declared = read_record(place), read_declared(place)
    given = SubmissionFiles(
        tokens or place / claims.tokens.path,
        tokenizer or place / claims.tokenizer.path,
        sidecar or (None if claims.sidecar is None else place / claims.sidecar.path),
    )
    counted = count_folder(place, claims.artifact)
    conditions = [
        _judge_data(claims, given, place),
        _judge_claimed_bytes(claims, counted),
        judge_size(counted.artifact, counted.code, limit_bytes or claims.bytes_limit),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        python = (make_linked if installed else make_fresh)(Path(temporary) / "venv", declared)
        arguments = given.arguments(settings)
        try:
            printed = run_script(python, place.absolute() / claims.script, arguments)
        except ArtpackError as error:
            ran, printed = [str(error)], None
        else:
            ran = []
    rule = f"the script runs with what {REQUIREMENTS} declares and nothing else"
    conditions.append(Condition.judge("run", rule, ", ".join(declared), ran))
    if printed is not None:
        windows = WindowOptions(**asdict(claims.windows))
        own = given.score(
            place / claims.artifact,
            windows,
            settings,
            learns=claims.ttt is not None,
            progress=progress,
        )
        rule = f"the script's score is artpack's to {TOLERANCE:g}"
        looked = f"{printed.val_bpb:.8f} bits per byte of {printed.tokens:,} tokens"
        conditions.append(Condition.judge("score", rule, looked, differences(printed, own)))
        conditions.append(_judge_claims(claims, printed))
    return SubmissionReport(place, claims, tuple(conditions), installed)


def _judge_data(claims: Submission, given: SubmissionFiles, folder: Path) -> Condition:
    found = given.data(folder)
    wrong = []
    for name, data in found.items():
        claimed: Data | None = getattr(claims, name)
        if (data and data.sha256) != (claimed and claimed.sha256):
            wrong.append(f"the {name} given are not those that the folder names")
    rule = "tokens and tokenizer are those that the folder names, by their hashes"
    names = [str(path) for path in (given.tokens, given.tokenizer, given.sidecar) if path]
    return Condition.judge("data", rule, ", ".join(map(os.path.basename, names)), wrong)


def _judge_claimed_bytes(claims: Submission, counted: Counted) -> Condition:
    pairs = {
        "artifact": (claims.bytes_artifact, counted.artifact),
        "code": (claims.bytes_code, counted.code),
        "total": (claims.bytes_total, counted.total),
    }
    wrong = [
        f"{name}: {claimed:,} bytes are claimed, {found:,} are there"
        for name, (claimed, found) in pairs.items()
        if claimed != found
    ]
    return Condition.judge(
        "count", "the folder has as many bytes as it says", f"{counted.total:,} bytes", wrong
    )


def _judge_claims(claims: Submission, printed: Printed) -> Condition:
    return Condition.judge(
        "claim",
        f"the folder's score is its script's to {TOLERANCE:g}",
        f"{claims.val_bpb:.8f} bits per byte, {claims.val_loss:.8f} nats per token",
        _false_claims(claims, printed),
    )


def _false_claims(claims: Submission, printed: Printed) -> Iterator[str]:
    for name in ("val_loss", "val_bpb", "val_loss_stderr", "val_bpb_stderr"):
        claimed, found = getattr(claims, name), getattr(printed, name)
        same = claimed is found or (
            None not in (claimed, found) and abs(claimed - found) <= TOLERANCE
        )
        if not same:
            yield f"{name} {claimed} is claimed, the script gives {found}"
    for name, found in (("scored_tokens", printed.tokens), ("scored_bytes", printed.bytes)):
        if getattr(claims, name) != found:
            yield f"{name} {getattr(claims, name)} is claimed, the script gives {found}"
