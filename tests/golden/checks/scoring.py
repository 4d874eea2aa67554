"""Scoring: sequential, sliding and per-document results of the original systems."""

import math
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from artpack.evaluation.scoring.score import score
from artpack.evaluation.tokens.byte_counts import ByteTable
from artpack.evaluation.tokens.documents import by_document, document_spans, packed
from artpack.evaluation.tokens.shards import Tokens, read_tokens
from artpack.evaluation.windows.placements import place
from artpack.evaluation.windows.plan import WindowPlan
from artpack.evaluation.windows.sliding import chunked, full_context, sequential, sliding
from artpack.models import GPT, Documents
from artpack.models.published import from_published_config
from artpack.runners.protocol import LanguageModel
from tests.golden.checks.case import Case
from tests.golden.checks.models import load_model, tolerance
from tests.golden.checks.report import Report
from tests.token_losses import token_losses

TOLERANCE = 1e-5
SAME = {
    "val_loss_sum": "loss_sum",
    "sum_nll_fp64": "loss_sum",
    "val_token_count": "tokens",
    "token_count": "tokens",
    "total_tokens": "tokens",
    "tokens_scored": "tokens",
    "val_byte_count": "bytes",
    "byte_count": "bytes",
    "total_bytes": "bytes",
    "total_seqs": "windows",
    "total_windows": "windows",
    "n_sequences": "windows",
    "n_segments": "windows",
}
"""What the systems call the same numbers."""


@dataclass
class AtTemperature:
    """A model whose logits are taken at a temperature of our choice."""

    model: GPT
    temperature: float

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """Return the model's hidden states."""
        return self.model.hidden(ids, documents)

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the model's logits at the temperature."""
        return self.model.logits(hidden, self.temperature)


@dataclass
class Scoring:
    """A case's model and stream, and the comparison of its scores."""

    case: Case
    report: Report

    @cached_property
    def model(self) -> GPT:
        """Return the case's model."""
        return load_model(self.case)

    @cached_property
    def stream(self) -> Tokens:
        """Return all validation tokens."""
        vocabulary = from_published_config(self.case.config).vocab_size
        return read_tokens(str(self.case.path("val.npy")), vocab_size=vocabulary)

    @cached_property
    def table(self) -> ByteTable:
        """Return the case's byte tables."""
        luts = self.case.entries("luts.npz")
        names = ("base_bytes", "has_leading_space", "is_boundary_token")
        base, space, boundary = (luts.take(name) for name in names)
        return ByteTable(base.astype(np.int64), space, boundary)

    def cut(self, window_tokens: int) -> Tokens:
        """Return the tokens that the system's loader keeps: whole windows and one more."""
        limit = self._most_targets(window_tokens) or self.stream.size
        kept = min(self.stream.size - 1, limit) // window_tokens * window_tokens
        return self.stream[: kept + 1]

    def _most_targets(self, window_tokens: int) -> int:
        """Return how many targets the system was told to take, 0 for all."""
        most = 0
        if self.case.system == "pr826":
            most = self.case.config["experiment_config"]["eval"]["val_max_seqs"] * window_tokens
        if self.case.system == "pr2086":
            most = self.case.entries("evals.json").peek("arguments").get("val_max_tokens", 0)
        return most

    def result(self, name: str) -> dict[str, Any]:
        """Return an entry of ``evals.json``, which counts as checked."""
        found: dict[str, Any] = self.case.entries("evals.json").take(name)
        return found

    def compare(
        self,
        name: str,
        want: Mapping[str, Any],
        ids: Tokens,
        plan: WindowPlan,
        *,
        model: LanguageModel | None = None,
        byte_counts: NDArray[np.int64] | None = None,
    ) -> None:
        """Score a plan and compare every number that is stored of it."""
        counts = self.table.count(ids) if byte_counts is None else byte_counts
        got = score(model or self.model, ids, plan, counts)
        tokens = got.coverage.scored
        exact = {"tokens": tokens, "bytes": got.bytes, "windows": got.coverage.windows}
        close = {
            "val_loss": (got.loss_nats.value, TOLERANCE),
            "val_bpb": (got.bits_per_byte.value, TOLERANCE),
            "val_bpb_as_printed": (got.loss_nats.value / math.log(2), TOLERANCE),
            "loss_sum": (got.loss_sum_nats, TOLERANCE * tokens),
            "val_loss_sum_of_sequence_means": (
                got.loss_sum_nats / plan.row_tokens,
                TOLERANCE * tokens / plan.row_tokens,
            ),
        }
        for key in want:
            what, field = f"{self.case.label} evals.json {name} {key}", SAME.get(key, key)
            if field in exact:
                self.report.exact(what, exact[field], int(want[key]))
            elif field in close:
                self.report.close(what, close[field][0], want[key], close[field][1])

    def compare_tokens(self, name: str, ids: Tokens, plan: WindowPlan) -> None:
        """Compare the losses of single tokens."""
        if "evals_tokens.npz" not in self.case:
            return
        want = self.case.entries("evals_tokens.npz").take(name)
        what = f"{self.case.label} evals_tokens.npz {name}"
        got = token_losses(self.model, ids, plan)
        self.report.close(what, got, want, tolerance("losses", want, self.case.system))


def check(case: Case, report: Report) -> None:
    """Check ``val.npy``, ``luts.npz`` and what ``evals.json`` says of the unadapted model."""
    if not {"evals.json", "state_dict.safetensors"} <= case.files or case.system not in SYSTEMS:
        return
    entries = case.entries("evals.json")
    SYSTEMS[case.system](
        Scoring(case, report), entries.take("arguments") if "arguments" in entries else {}
    )


def _check_pr2086(s: Scoring, arguments: dict[str, Any]) -> None:
    window, chunk = arguments["seq_len"], arguments["ttt"]["ttt_tokens"]
    ids = s.cut(window)
    s.report.exact(f"{s.case.label} val.npy tokens used", ids.size, s.result("val_tokens_used"))
    name = "results.raw_fp32.sequential"
    s.compare(name, s.result(name), ids, place("sequential", ids, window, window))
    name = "results.raw_fp32.sliding"
    want, plan = s.result(name), place("pr2086", ids, window, arguments["ttt_stride"])
    s.compare(name, want, ids, plan)
    per_chunk = np.bincount((plan.windows[:, 0] + plan.windows[:, 2]) // chunk).tolist()
    what = f"{s.case.label} evals.json {name} windows_per_chunk"
    s.report.exact(what, per_chunk, want["windows_per_chunk"])


def _check_pr576(s: Scoring, arguments: dict[str, Any]) -> None:
    window = arguments["sequential"]["seq_len"]
    # What its loader cuts to whole windows of is the longer one of training and evaluation.
    ids = s.cut(max(window, arguments.get("train_seq_len", 0)))
    s.report.exact(f"{s.case.label} val.npy tokens used", ids.size, s.result("val_tokens_used"))
    name, cool = "results.raw.sequential", AtTemperature(s.model, 1.0)
    s.compare(name, s.result(name), ids, place("sequential", ids, window, window), model=cool)
    name = "results.raw.sliding_before_ttt"
    if name in s.case.entries("evals.json"):  # no stride, or a whole window, runs none
        stride = arguments["sliding"]["stride"]
        s.compare(name, s.result(name), ids, place("pr576", ids, window, stride))


def _check_pr1123(s: Scoring, arguments: dict[str, Any]) -> None:
    name, window = "results.raw.sequential", arguments["sequential"]["seq_len"]
    want = s.result(name)
    ids = s.stream[: want["tokens"] + 1]
    s.compare(name, want, ids, sequential(ids.size - 1, window))
    name, window = "results.raw.sliding", arguments["sliding"]["seq_len"]
    ids = s.cut(window)
    s.report.exact(f"{s.case.label} val.npy tokens used", ids.size, s.result("val_tokens_used"))
    warm = AtTemperature(s.model, arguments["sliding"]["temperature"])
    plan = place("pr1123", ids, window, arguments["sliding"]["stride"])
    s.compare(name, s.result(name), ids, plan, model=warm)


def _check_pr826(s: Scoring, _arguments: dict[str, Any]) -> None:
    want = s.result("standard")
    window = want["args"]["eval_seq_len"]
    ids = s.cut(window)
    _check_stream(s, ids)
    s.compare("standard", want, ids, place("sequential", ids, window, window))
    want = s.result("sliding")
    plan = place("pr826", ids, window, want["args"]["stride"])
    s.compare("sliding", ChainMap(want["args"], want), ids, plan)
    segments = [[a, n, f, n, a + f + 1, a + n + 1] for a, n, f in plan.windows.tolist()]
    what = f"{s.case.label} evals.json sliding segments"
    ends = segments[:5] + segments[-2:]
    s.report.exact(what, ends, want["segments_first_5_last_2"])
    s.compare_tokens("sliding_nll", ids, plan)
    want = s.result("doc_isolated")
    spans = [list(span) for span in document_spans(ids[:-1], want["args"]["bos_id"])]
    s.report.exact(f"{s.case.label} evals.json doc_isolated spans", spans, want["spans"])
    plan = place("pr826-documents", ids, window, want["args"]["stride"])
    s.compare("doc_isolated", want, ids, plan)
    if "ttt_lr0" not in s.case.entries("evals.json"):
        return
    adapt = s.case.entries("evals.json").peek("ttt")["args"]
    plan = by_document(ids, window, adapt["ttt_chunk_size"], place=chunked)
    warm = AtTemperature(s.model, adapt["ttt_temperature"])
    s.compare("ttt_lr0", s.result("ttt_lr0"), ids, plan, model=warm)


def _check_pr1934(s: Scoring, _arguments: dict[str, Any]) -> None:
    want = s.result("sequential")
    window = want["args"]["eval_seq_len"]
    ids = s.cut(window)
    _check_stream(s, ids)
    sidecar = s.case.entries("luts.npz").take("byte_sidecar")[: ids.size].astype(np.int64)
    plan = _packed_pr1934(s, ids, want["args"])
    _compare_both(s, "sequential", want, (ids, sidecar), plan)
    s.compare_tokens("sequential_nll", ids, plan)
    want = s.result("sliding_window")
    plan = full_context(ids.size - 1, want["args"]["seq_len"], want["args"]["stride"])
    _compare_both(s, "sliding_window", ChainMap(want["args"], want), (ids, sidecar), plan)
    s.compare_tokens("sliding_nll", ids, plan)
    documents = s.result("docs")
    spans = [[a, b - a + 1] for a, b in document_spans(ids[:-1], 1)]
    what = f"{s.case.label} evals.json docs"
    s.report.exact(f"{what} docs_start_len", spans, documents["docs_start_len"])


def _packed_pr1934(s: Scoring, ids: Tokens, args: dict[str, Any]) -> WindowPlan:
    """Pack as many sequences into a row as the batch leaves a process; check the numbers."""
    window, ranks = args["eval_seq_len"], args["world_size"]
    per_row = args["val_batch_tokens"] // (ranks * args["grad_accum_steps"]) // window
    plan = packed(ids, window, per_row * window, ranks=ranks)
    got = [per_row, (ids.size - 1) // window, plan.coverage().scored // window]
    names = ("local_batch_seqs", "total_seqs", "scored_seqs_after_truncation")
    what = f"{s.case.label} evals.json sequential {', '.join(names)}"
    s.report.exact(what, got, [args[name] for name in names])
    return plan


def _check_lm6m(s: Scoring, arguments: dict[str, Any]) -> None:
    window, stride = arguments["window_tokens"], arguments["stride_tokens"]
    ids = s.stream
    for name, plan in (
        ("sequential", sequential(ids.size - 1, window)),
        ("sliding", sliding(ids.size - 1, window, stride)),
        ("documents", by_document(ids, window, stride)),
    ):
        s.compare(name, s.result(name), ids, plan)
        s.compare_tokens(f"{name}_nll", ids, plan)


def _check_stream(s: Scoring, ids: Tokens) -> None:
    facts = s.result("val")
    used = facts["used_tokens_after_load_validation_tokens"]
    got = [s.stream.size, int((s.stream == 1).sum()), ids.size]
    want = [facts["n_tokens"], facts["n_bos"], used]
    s.report.exact(f"{s.case.label} val.npy tokens, BOS, tokens used", got, want)


def _compare_both(
    s: Scoring,
    name: str,
    want: MutableMapping[str, Any],
    stream: tuple[Tokens, NDArray[np.int64]],
    plan: WindowPlan,
) -> None:
    """Compare one result with bytes from the tables and from the sidecar."""
    ids, sidecar = stream
    s.compare(f"{name} lut", ChainMap(want["lut"], want), ids, plan)
    if "byte_sidecar" in want:
        beside = want["byte_sidecar"]
        s.compare(f"{name} byte_sidecar", beside, ids, plan, byte_counts=sidecar)


SYSTEMS: dict[str, Callable[[Scoring, dict[str, Any]], None]] = {
    "pr2086": _check_pr2086,
    "pr576": _check_pr576,
    "pr1123": _check_pr1123,
    "pr826": _check_pr826,
    "pr1934": _check_pr1934,
    "lm6m": _check_lm6m,
}
