"""The files that a submission is scored on, and two scores of them compared."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from artpack.api.eval_options import AuditOptions, TttOptions, WindowOptions
from artpack.api.eval_result import EvalResult
from artpack.api.evaluate import evaluate
from artpack.evaluation.tokens.shards import find_shards
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress
from artpack.submission.folder import hash_paths
from artpack.submission.record import Data
from artpack.submission.running import Printed

PathLike: TypeAlias = str | os.PathLike[str]

TOLERANCE = 1e-6
"""How far two scores of the same may lie apart, in bits per byte and nats per token."""


@dataclass(frozen=True)
class SubmissionFiles:
    """Files that a score is taken of."""

    tokens: PathLike
    tokenizer: PathLike
    sidecar: PathLike | None

    def arguments(self, settings: Settings) -> list[str]:
        """Return what the script is told."""
        given = [f"--tokens={_absolute(self.tokens)}", f"--tokenizer={_absolute(self.tokenizer)}"]
        given += [] if self.sidecar is None else [f"--sidecar={_absolute(self.sidecar)}"]
        return [*given, f"--device={settings.device}"]

    def data(self, folder: Path) -> dict[str, Data | None]:
        """Return what the folder says of them."""
        return {
            "tokens": _data(self.tokens, folder),
            "tokenizer": _data(self.tokenizer, folder),
            "sidecar": None if self.sidecar is None else _data(self.sidecar, folder, bytes_=True),
        }

    def score(
        self,
        artifact: Path,
        windows: WindowOptions,
        settings: Settings,
        *,
        learns: bool,
        audit: AuditOptions | None = None,
        progress: Progress | None = None,
    ) -> EvalResult:
        """
        Score an artifact on them, as ``artpack eval`` does.

        Args:
            artifact: The file.
            windows: What is run and scored.
            settings: How.
            learns: The model learns on the way, by the recipe that it carries.
            audit: Audit the score, too.
            progress: Told how far it is.

        Returns:
            The score.

        """
        return evaluate(
            artifact,
            self.tokens,
            tokenizer=self.tokenizer,
            sidecar=self.sidecar,
            windows=windows,
            ttt=TttOptions() if learns else None,
            settings=settings,
            audit=audit,
            progress=progress,
        )


def differences(printed: Printed, own: EvalResult) -> list[str]:
    """
    Compare what a script printed with artpack's own score.

    Args:
        printed: What it printed.
        own: The score.

    Returns:
        A line for each number that is another one.

    """
    assert own.score is not None
    score = own.score
    pairs = {
        "bits per byte": (printed.val_bpb, score.bits_per_byte.value),
        "nats per token": (printed.val_loss, score.loss_nats.value),
        "scored tokens": (printed.tokens, score.coverage.scored),
        "bytes of text": (printed.bytes, score.bytes),
    }
    return [
        f"the script's {what} are {given}, artpack's {wanted}"
        for what, (given, wanted) in pairs.items()
        if not abs(given - wanted) <= TOLERANCE
    ]


def _data(pattern: PathLike, folder: Path, *, bytes_: bool = False) -> Data:
    where = os.path.relpath(_absolute(pattern), folder.resolve())
    return Data(
        Path(where).as_posix(), hash_paths(find_shards(os.fspath(pattern), sidecars=bytes_))
    )


def _absolute(path: PathLike) -> str:
    return str(Path(path).absolute())
