"""What a recipe makes of a golden case, beside what the original made of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artpack.evaluation.scoring.summary import Score
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.adaptation import Adapted, adapt
from artpack.evaluation.ttt.load import load_recipe
from artpack.evaluation.ttt.lora import Draw, uniform
from artpack.evaluation.ttt.recipe import AnyRecipe, OverStream
from artpack.evaluation.ttt.recipe_windows import plan_of
from artpack.interop import read_container
from artpack.models import GPT, build
from artpack.models.published import from_published_config
from tests.golden.checks.case import Case
from tests.golden.checks.report import Report
from tests.golden.checks.scoring import Scoring

RELATIVE = 1e-4
"""Asked for. The stored runs move by up to 2e-6 nats when weights move by 1e-6."""


@dataclass
class Losses:
    """Keeps what every target lost, in the order of scoring."""

    answers: NDArray[np.int64]
    nats: dict[int, float] = field(default_factory=dict)

    def __call__(self, targets: NDArray[np.int64], logits: Tensor) -> None:
        """Look at some distributions."""
        answers = torch.from_numpy(self.answers[targets])[:, None]
        nats = -logits.double().log_softmax(-1).gather(1, answers)[:, 0]
        self.nats.update(zip(targets.tolist(), nats.tolist(), strict=True))

    def total(self, first: int, count: int) -> float:
        """Return what some targets in a row lost together."""
        return sum(self.nats[target] for target in range(first, first + count))


class Inits:
    """The input matrices that the original drew, in the order in which it drew them."""

    def __init__(self, case: Case, *, skip: int) -> None:
        self._entries, self._number = case.entries("ttt_lora_init.npz"), skip
        self._prefix = next(iter(self._entries)).partition("/")[0].rstrip("0123456789")
        for name in self._entries:  # those of a draw that was never used count as checked
            if int(name.partition("/")[0].removeprefix(self._prefix)) < skip:
                self._entries.take(name)

    def __call__(
        self, _documents: int, shapes: Mapping[str, tuple[int, int]]
    ) -> Mapping[str, Tensor]:
        """Return the next draw."""
        drawn = {name: torch.from_numpy(self._take(name)) for name in shapes}
        self._number += 1
        return drawn

    def _take(self, name: str) -> Any:
        site, _, visit = name.partition(".")
        own = "lm_head_lora.A" if site == "head" else f"{site}_loras.{visit}.A"
        return self._entries.take(f"{self._prefix}{self._number}/{own}")


@dataclass
class Ttt:
    """A case, and the comparison of what its recipe does."""

    case: Case
    report: Report
    scoring: Scoring

    def run(
        self,
        name: str,
        changes: Mapping[str, Any],
        *,
        model: GPT | None = None,
        draw: Draw = uniform,
    ) -> "Run":
        """Adapt as published."""
        sets = [f"{key}={value}" for key, value in changes.items()]
        recipe = load_recipe(self.case.system, sets, faithful=True).recipe
        window = getattr(recipe, "shared_window_tokens", None) or recipe.window_tokens
        assert window is not None
        ids = self.scoring.cut(window)
        stream = Stream(ids, self.scoring.table.count(ids))
        losses = Losses(ids[1:].astype(np.int64))
        model = model or self.scoring.model
        adapted = adapt(model, stream, recipe, observer=losses, draw=draw)
        return Run(name, self, model, stream, recipe, adapted, losses)

    def decoded(self) -> GPT:
        """Return the model of the case's artifact, as the original's test has loaded it."""
        container = read_container(self.case.path("artifact.bin").read_bytes())
        if self.case.system != "pr2086":  # that one alone narrows what it loads to bfloat16
            wide = tuple(replace(tensor, dtype="float32") for tensor in container.tensors)
            container = replace(container, tensors=wide)
        return build(from_published_config(self.case.config), container.weights())

    def want(self, name: str) -> dict[str, Any]:
        """Return an entry of ``evals.json``, which counts as checked."""
        found: dict[str, Any] = self.case.entries("evals.json").take(name)
        return found


@dataclass
class Run:
    """What a recipe made of a case, beside what the original made of it."""

    name: str
    ttt: Ttt
    model: GPT
    stream: Stream
    recipe: AnyRecipe
    adapted: Adapted
    losses: Losses

    def compare(self) -> dict[str, Any]:
        """Compare the score, and how it came about; return what was stored."""
        want = self.ttt.want(self.name)
        self.score(self.name, want, self.adapted.score)
        if isinstance(self.recipe, OverStream):
            self._windows(want, self.recipe)
        if "trace" in want:
            self._trace(want["trace"])
        if "param_delta_l2" in want:
            got = {name: float((after - before).norm()) for name, before, after in self.changes()}
            self.norms("param_delta_l2", got, want["param_delta_l2"])
        return want

    def score(self, name: str, want: Mapping[str, Any], got: Score) -> None:
        """Compare loss and bits per byte, relative, and tokens and bytes exactly."""
        numbers = {
            "val_loss": got.loss_nats.value,
            "val_bpb": got.bits_per_byte.value,
            "loss_sum": got.loss_sum_nats,
        }
        for key, value in numbers.items():
            if key in want:
                what = f"{self._label} {name} {key}"
                self.ttt.report.relative(what, value, want[key], RELATIVE)
        counts = {"token_count": got.coverage.scored, "byte_count": got.bytes}
        for key, count in counts.items():
            if key in want:
                self.ttt.report.exact(f"{self._label} {name} {key}", count, int(want[key]))

    def changes(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield every parameter's name, and its value before and after."""
        after = dict(self.adapted.model.named_parameters())
        for name, before in self.model.named_parameters():
            yield name, before.detach(), after[name].detach()

    def norms(self, what: str, got: Mapping[str, float], want: Mapping[str, float]) -> None:
        """Compare norms of tensors, all relative to the largest."""
        largest, what = max(want.values()) or 1.0, f"{self._label} {self.name} {what}"
        self.ttt.report.exact(f"{what}, unknown names", sorted(want.keys() - got.keys()), [])
        ours, theirs = ([norms[name] / largest for name in want] for norms in (got, want))
        self.ttt.report.close(f"{what}, relative", ours, theirs, RELATIVE)

    @property
    def _label(self) -> str:
        return f"{self.ttt.case.label} evals.json"

    def _windows(self, want: Mapping[str, Any], recipe: OverStream) -> None:
        plan = plan_of(recipe, self.stream)
        per_chunk = np.bincount((plan.windows[:, 0] + plan.windows[:, 2]) // recipe.chunk_tokens)
        adapts = [
            p.numel()
            for n, p in self.model.named_parameters()
            if recipe.adapts(self.model.config, n)
        ]
        everything = sum(p.numel() for p in self.model.parameters())
        facts = {
            "num_chunks": len(per_chunk),
            "windows_per_chunk": per_chunk.tolist(),
            "n_ttt_params": sum(adapts),
            "n_unfrozen": sum(adapts),
            "n_frozen": everything - sum(adapts),
        }
        for key, value in facts.items():
            if key in want:
                self.ttt.report.exact(f"{self._label} {self.name} {key}", value, want[key])

    def _trace(self, want: Mapping[str, Any]) -> None:
        updates = self.adapted.updates
        what = f"{self._label} {self.name} trace"
        self.ttt.report.exact(f"{what} n_optimizer_steps", len(updates), want["n_optimizer_steps"])
        columns = {"lr": 0, "train_loss": 1, "grad_norm_before_clip": 2}
        for key, column in columns.items():
            got = [update[column] for update in updates]
            self.ttt.report.relative(f"{what} {key}", got, want[key], RELATIVE)
