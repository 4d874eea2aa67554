"""Losses and scores of the models that the original systems loaded from their containers."""

import math
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from artpack.artifact.reader import Artifact
from artpack.evaluation.scoring.evaluators import Windowed
from artpack.evaluation.tokens.documents import packed
from artpack.evaluation.tokens.shards import Tokens
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.windows.placements import place
from artpack.evaluation.windows.plan import WindowPlan
from artpack.evaluation.windows.sliding import sequential
from artpack.models import GPT, build
from artpack.models.published import from_published_config
from artpack.runners.protocol import LanguageModel
from artpack.runners.settings import REFERENCE
from tests.golden.checks.case import Case
from tests.golden.checks.models import Golden, tolerance
from tests.golden.checks.ngram import lookup_of
from tests.golden.checks.report import Report
from tests.golden.checks.scoring import TOLERANCE, AtTemperature, Scoring

FP32 = torch.float32
OWN_DTYPES = {"pr2086"}
"""Systems whose loader casts to bf16 whatever the model is; the others were given fp32 models."""


@dataclass
class Decoded(Scoring):
    """
    The scores of a model out of a container.

    Attributes:
        weights: Of the model.
        bf16_rope: The model's RoPE frequencies are rounded as the system's main() does.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    bf16_rope: bool = False

    @cached_property
    def model(self) -> GPT:
        """Return the model."""
        config = from_published_config(self.case.config)
        if self.bf16_rope:
            config = replace(config, rope=replace(config.rope, arithmetic="bf16"))
        return build(config, self.weights)


def check_evals(case: Case, artifact: Artifact, report: Report) -> None:
    """Check ``roundtrip__*`` of ``io.npz``, and what ``evals.json`` says of decoded weights."""
    weights = artifact.load(dtype=None if case.system in OWN_DTYPES else FP32)
    decoded = Decoded(case, report, weights)
    if "io.npz" in case:
        _check_outputs(decoded)
    if "evals.json" not in case:
        return
    entries = case.entries("evals.json")
    arguments = entries.peek("arguments") if "arguments" in entries else {}
    CHECKS[case.system](decoded, arguments)


def _check_outputs(decoded: Decoded) -> None:
    case, io = decoded.case, decoded.case.entries("io.npz")
    golden = Golden(case, decoded.model, io)
    for name in (name for name in io if name.startswith("roundtrip__")):
        want = io.take(name)
        kind = "losses" if name.endswith("__losses") else "logits"
        logits = golden.logits
        got = golden.losses(logits) if kind == "losses" else logits[:, -want.shape[1] :]
        what = f"{case.label} io.npz {name}"
        decoded.report.close(what, got.detach(), want, tolerance(kind, want, case.system))


def _compare(
    s: Decoded, name: str, ids: Tokens, plan: WindowPlan, model: LanguageModel | None = None
) -> None:
    if name in s.case.entries("evals.json"):
        s.compare(name, s.result(name), ids, plan, model=model)


def _check_pr2086(s: Decoded, arguments: dict[str, Any]) -> None:
    window = arguments["seq_len"]
    ids = s.cut(window)
    prepared = Decoded(s.case, s.report, s.weights, bf16_rope=True)
    for scoring, results in ((s, "roundtrip_fp32"), (prepared, "roundtrip_main_prep")):
        plan = place("sequential", ids, window, window)
        _compare(scoring, f"results.{results}.sequential", ids, plan)
        plan = place("pr2086", ids, window, arguments["ttt_stride"])
        _compare(scoring, f"results.{results}.sliding", ids, plan)


def _check_pr576(s: Decoded, arguments: dict[str, Any]) -> None:
    window = arguments["sequential"]["seq_len"]
    ids, cool = s.cut(window), AtTemperature(s.model, 1.0)
    plan = place("sequential", ids, window, window)
    _compare(s, "results.roundtrip.sequential", ids, plan, cool)
    name = "results.roundtrip.sliding_before_ttt"
    if name in s.case.entries("evals.json"):
        _compare(s, name, ids, place("pr576", ids, window, arguments["sliding"]["stride"]))


def _check_pr1123(s: Decoded, arguments: dict[str, Any]) -> None:
    name, window = "results.roundtrip.sequential", arguments["sequential"]["seq_len"]
    if name in s.case.entries("evals.json"):
        want = s.result(name)
        ids = s.stream[: want["tokens"] + 1]
        s.compare(name, want, ids, sequential(ids.size - 1, window))
    window = arguments["sliding"]["seq_len"]
    ids, warm = s.cut(window), AtTemperature(s.model, arguments["sliding"]["temperature"])
    plan = place("pr1123", ids, window, arguments["sliding"]["stride"])
    _compare(s, "results.roundtrip.sliding", ids, plan, warm)


def _check_pr826(s: Decoded, _arguments: dict[str, Any]) -> None:
    name = "on_dequantized_artifact"
    if name not in s.case.entries("evals.json"):
        return
    want = s.result(name)
    window = want["sliding"]["eval_seq_len"]
    stride = want["sliding"]["stride"]
    ids = s.cut(window)
    for run, plan in (
        ("standard", place("sequential", ids, window, window)),
        ("sliding", place("pr826", ids, window, stride)),
        ("doc_isolated", place("pr826-documents", ids, window, stride)),
    ):
        s.compare(f"{name} {run}", want[run], ids, plan)
    if "ngram" in want:
        args = ChainMap(want["ngram"], s.case.entries("evals.json").peek("ngram")["args"])
        _check_ngram(s, f"{name} ngram", want["ngram"], ids, args)


def _check_ngram(
    s: Decoded, name: str, want: dict[str, Any], ids: Tokens, args: Mapping[str, Any]
) -> None:
    lookup = lookup_of(args)
    plan = place("pr826", ids, args["eval_seq_len"], args["stride"])
    stream = Stream(ids, s.table.count(ids))
    seen = Windowed(s.model, lambda _: plan, s.model.config.vocab_size, REFERENCE)(stream, ())
    claimed = lookup.claim(np.exp(seen.log_probs), seen.entropy, lookup.look_up(ids))
    loss = float(-np.log(claimed).mean())
    bpb = loss / math.log(2) / stream.byte_counts[1:].mean()
    for key, got in (("val_loss", loss), ("val_bpb", bpb)):
        what = f"{s.case.label} evals.json {name} {key}"
        s.report.close(what, got, want[key], TOLERANCE * want[key])


def _check_pr1934(s: Decoded, _arguments: dict[str, Any]) -> None:
    name, entries = "sequential_dequantized", s.case.entries("evals.json")
    if name not in entries:
        return
    want, args = s.result(name), entries.peek("sequential")["args"]
    window = args["eval_seq_len"]
    ids = s.cut(window)
    plan = packed(ids, window, args["local_batch_seqs"] * window)
    s.compare(f"{name} lut", want["lut"], ids, plan)
    if "byte_sidecar" in want:
        sidecar = s.case.entries("luts.npz").take("byte_sidecar")[: ids.size].astype(np.int64)
        s.compare(f"{name} byte_sidecar", want["byte_sidecar"], ids, plan, byte_counts=sidecar)


CHECKS = {
    "pr2086": _check_pr2086,
    "pr576": _check_pr576,
    "pr1123": _check_pr1123,
    "pr826": _check_pr826,
    "pr1934": _check_pr1934,
}
