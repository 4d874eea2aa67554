"""Second moments that a published system collected, from the tokens that it was given."""

import re

import numpy as np
from numpy.typing import NDArray

from artpack.calibration.collect import CALIBRATION, collect
from artpack.models import GPT
from artpack.quantize.rounding.prune import prune_smallest
from artpack.runners.batches import TokenBatches
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from tests.golden.checks.case import Case
from tests.golden.checks.models import load_model
from tests.golden.checks.report import Report

LARGE = 65_536
"""Weights above which PR 576 prunes."""

RELATIVE_TOLERANCE = 1e-5
"""Of the largest entry: both sides add up in float32."""


def read_windows(case: Case) -> NDArray[np.int64]:
    """Return PR 576's calibration windows; each reads one token more than it runs."""
    asked = case.entries("quant.json").peek("gptq")["function"]
    found = re.search(r"n_samples=(\d+), seq_len=(\d+)", asked)
    assert found is not None
    samples, length = map(int, found.groups())
    ids = np.load(case.path("calib_tokens.npy"))[: samples * (length + 1)]
    windows: NDArray[np.int64] = ids.reshape(-1, length + 1)[:, :-1].astype(np.int64)
    return windows


def calibrated_model(case: Case) -> GPT:
    """Return the model that PR 576 calibrated; on a CPU it pruned that itself."""
    facts = case.entries("quant.json")
    model = load_model(case)
    if "unpruned model" not in facts.peek("gptq")["function"]:
        for parameter in model.parameters():
            if parameter.ndim == 2 and parameter.numel() > LARGE:
                share = facts.peek("prune")["prune_pct"]
                parameter.data = prune_smallest(parameter.data, share)
    return model


def check(case: Case, report: Report) -> None:
    """Check ``calib_tokens.npy`` against what ``quant.npz`` and ``quant.json`` hold of it."""
    if not {"calib_tokens.npy", "state_dict.safetensors"} <= case.files:
        return
    windows, model = read_windows(case), calibrated_model(case)
    batches = TokenBatches(windows, CALIBRATION.batch_tokens)
    sums = collect(GptRunner(model), batches, places(model), fisher=False)
    hessians = sums.mean_hessians(windows.size)
    facts = case.entries("quant.json")
    named = {f"{name}.weight" for name in facts.peek("gptq")["hessian_layers"]}
    # Its export has no use for a Hessian of these, and of a tied head it knows none.
    unused = {
        n for n in hessians if n.endswith(("tok_emb.weight", "lm_head.weight", "gate.weight"))
    }
    ours = {
        name.removesuffix(".weight"): hessians[name].numpy()
        for name in hessians.keys() - (unused - named)
    }
    stored = case.entries("quant.npz")
    what = f"{case.label} hessians of {len(ours)} maps"
    report.exact(f"{what}, names", sorted(ours), sorted(facts.peek("gptq")["hessian_layers"]))
    for name in facts.take("saved_hessians"):
        want = stored.take(f"hessian__{name}")
        tolerance = RELATIVE_TOLERANCE * float(np.abs(want).max())
        report.close(f"{case.label} quant.npz hessian__{name}", ours[name], want, tolerance)
    for name, mean in facts.take("hessian_diag_mean").items():
        got = float(ours[name].diagonal().astype(np.float64).mean())
        what = f"{case.label} quant.json hessian_diag_mean {name}"
        report.close(what, got, mean, RELATIVE_TOLERANCE * mean)
