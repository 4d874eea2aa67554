"""The result of an evaluation: scores, where they come from, and how they were made."""

import csv
import io
import os
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from artpack.api.audit_result import AuditFindings
from artpack.api.eval_options import WindowOptions
from artpack.evaluation.ngram.report import NgramReport
from artpack.evaluation.scoring.estimate import Estimate
from artpack.evaluation.scoring.score import Comparison
from artpack.evaluation.scoring.summary import Score
from artpack.evaluation.tokens.byte_check import ByteCheck
from artpack.evaluation.ttt.attribution import Row
from artpack.evaluation.ttt.load import Named
from artpack.evaluation.ttt.running_score import ScorePoint
from artpack.models import ModelConfig
from artpack.runners.settings import Settings
from artpack.system.atomic import write_atomically
from artpack.version import __version__


@dataclass(frozen=True)
class TttReport:
    """
    How a model learned while it was scored.

    Attributes:
        score_first: Whether nothing was learned from before it was scored.
        updates: How often parameters were changed.
        resumed_steps: How many steps are those of an earlier run, as its state kept them.
        curve: Where the evaluation stood, at every rest.
        second_pass: The score with what was learned, if that was asked for.
    """

    score_first: bool
    updates: int
    resumed_steps: int
    curve: tuple[ScorePoint, ...]
    second_pass: Score | None = None

    @property
    def temperature(self) -> float | None:
        """That the last targets were scored with; None for the checkpoint's own."""
        return self.curve[-1].temperature

    @property
    def scored_tokens_s(self) -> int | None:
        """Tokens scored a second."""
        last = self.curve[-1]
        return round(last.scored / last.seconds) if last.seconds else None

    def curve_csv(self) -> str:
        """Return the curve as a table."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([field.name for field in fields(ScorePoint)])
        writer.writerows(astuple(point) for point in self.curve)
        return text.getvalue()

    def save_curve(self, path: str | os.PathLike[str]) -> int:
        """Write the curve as CSV, whole or not at all; return its size in bytes."""
        return write_atomically(Path(path), [self.curve_csv().encode()])

    def to_json(self) -> dict[str, Any]:
        """Return it as data, without the curve."""
        found: dict[str, Any] = {
            "score_first": self.score_first,
            "updates": self.updates,
            "resumed_steps": self.resumed_steps,
            "temperature": self.temperature,
            "scored_tokens_s": self.scored_tokens_s,
        }
        if self.second_pass is not None:
            found["second_pass"] = {"score_first": False, **asdict(self.second_pass)}
        return found

    def __repr__(self) -> str:
        order = "score-first" if self.score_first else "NOT score-first"
        return f"<TttReport: {self.updates:,} updates, {order}>"


@dataclass(frozen=True, kw_only=True)
class EvalScores:
    """
    What was scored; all of it None where the check of the bytes was all that was done.

    Attributes:
        score: Of the model, with all that was asked for.
        comparison: Of the model and its baseline.
        recipe: That the model learned by while it was scored.
        ttt: How it learned.
        attribution: In place of a score: where the gain of learning comes from.
        ngram: The mixture with n-grams beside what it is made of.
        recipe_windows: Windows that were run where a recipe chose them.
        last_window_tokens: Tokens of the last window.
        stream_tokens: Tokens of the stream, those beyond the limit included.
        seconds: What scoring took.
    """

    score: Score | None = None
    comparison: Comparison | None = None
    recipe: Named | None = None
    ttt: TttReport | None = None
    attribution: tuple[Row, ...] = ()
    ngram: NgramReport | None = None
    recipe_windows: WindowOptions | None = None
    last_window_tokens: int | None = None
    stream_tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class EvalResult(EvalScores):
    """
    What an evaluation found, and how it was made.

    Attributes:
        what: What was scored, in words.
        byte_check: Outcome of counting the bytes twice, if that was asked for.
        audit: What an audit of the score found, if that was asked for.
        windows: What was asked to be run and scored.
        settings: Device, precision and batch size.
        compiled: Whether layers ran through ``torch.compile``.
        faithful: Whether published defects were kept.
        processes: How many shared the work.
        sha256: Hashes of what was read, by path.
        model: Of all the models, if they are ours.
        notes: What was decided on the way, one line each.
    """

    what: str
    byte_check: ByteCheck | None
    audit: AuditFindings | None
    windows: WindowOptions
    settings: Settings
    compiled: bool
    faithful: bool
    processes: int
    sha256: dict[str, str]
    model: ModelConfig | None
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether neither the check of the bytes nor an audit found a fault."""
        sound = self.byte_check is None or self.byte_check.sound
        return sound and (self.audit is None or self.audit.passed)

    def to_json(self) -> dict[str, Any]:
        """Return it as data that JSON can carry."""
        return {
            "what": self.what,
            **_scores(self),
            **({} if self.audit is None else {"audit": self.audit.to_json()}),
            "byte_check": None if self.byte_check is None else asdict(self.byte_check),
            "settings": {
                **asdict(self.windows),
                **asdict(self.settings),
                "compile": self.compiled,
                "faithful": self.faithful,
                "processes": self.processes,
                "artpack": __version__,
                "torch": torch.__version__,
            },
            "sha256": self.sha256,
            "model": None if self.model is None else self.model.to_json(),
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        said = []
        if self.score is not None:
            bits, loss = self.score.bits_per_byte, self.score.loss_nats
            said.append(f"{_said(bits)} bits per byte")
            said.append(f"{_said(loss)} nats per token")
        if self.comparison is not None:
            increase = self.comparison.bits_per_byte_increase
            said.append(f"{_said(increase, '+.6f')} to its baseline")
        said += [f"{row.what} {_said(row.score.bits_per_byte)}" for row in self.attribution]
        if self.byte_check is not None:
            said.append(f"byte check {'passed' if self.byte_check.sound else 'FAILED'}")
        if self.audit is not None:
            said.append(f"audit {'passed' if self.audit.passed else 'FAILED'}")
        return f"<EvalResult of {self.what}: {', '.join(said)}>"


def _said(number: Estimate, style: str = ".6f") -> str:
    error = "" if number.stderr is None else f" ± {number.stderr:.6f}"
    return f"{number.value:{style}}{error}"


def _scores(scores: EvalScores) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if scores.score is not None:
        found["score"] = asdict(scores.score)
    if scores.comparison is not None:
        both = asdict(scores.comparison)
        del both["packed"]
        found |= {"baseline": both.pop("baseline"), "comparison": both}
    if scores.recipe is not None:
        learned = {} if scores.ttt is None else scores.ttt.to_json()
        found["ttt"] = {"recipe": scores.recipe.to_json(), **learned}
    if scores.attribution:
        found["attribution"] = [asdict(row) for row in scores.attribution]
    if scores.recipe_windows is not None:
        windows = asdict(scores.recipe_windows)
        del windows["limit_tokens"]
        found["windows"] = windows
    if scores.ngram is not None:
        mixed = asdict(scores.ngram)
        del mixed["mixed"]
        found["ngram"] = mixed
    for name in ("last_window_tokens", "stream_tokens"):
        if getattr(scores, name) is not None:
            found[name] = getattr(scores, name)
    if scores.seconds is not None:
        found["seconds"] = round(scores.seconds, 2)
    return found
