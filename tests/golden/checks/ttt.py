"""Test-time training: every result of the original systems, as they were published."""

import math
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
from torch import Tensor

from artpack.evaluation.ttt import per_document
from artpack.evaluation.ttt.document_schedule import DocumentGroup, DocumentSchedule
from artpack.evaluation.ttt.phases import learn_phase, phases
from artpack.evaluation.ttt.recipe import Lora, Phased
from artpack.evaluation.ttt.second_pass import score_again
from artpack.models import GPT
from tests.golden.checks.adapting import RELATIVE, Inits, Run, Ttt
from tests.golden.checks.case import Case
from tests.golden.checks.report import Report
from tests.golden.checks.scoring import Scoring


def check(case: Case, report: Report) -> None:
    """Check what ``evals.json`` says of adapting, and what it left of the parameters."""
    if "evals.json" in case and case.system in SYSTEMS:
        SYSTEMS[case.system](Ttt(case, report, Scoring(case, report)))


def _check_pr2086(ttt: Ttt) -> None:
    arguments = ttt.case.entries("evals.json").peek("arguments")
    adapting = arguments["ttt"]
    changes = {
        "window_tokens": arguments["seq_len"],
        "stride_tokens": arguments["ttt_stride"],
        "chunk_tokens": adapting["ttt_tokens"] if adapting["ttt_tokens"] > 0 else 32768,
        "epochs": adapting["ttt_steps"],
        "batch_windows": arguments["ttt_batch_seqs"],
        "rule.lr": adapting["ttt_lr"],
    }
    if "state_dict.safetensors" in ttt.case:
        ttt.run("results.raw_fp32.ttt", changes).compare()
    model = ttt.decoded()
    run = ttt.run("results.roundtrip_fp32.ttt", changes, model=model)
    run.compare()
    _check_parameters(run, "roundtrip_fp32__")
    if "results.roundtrip_main_prep.ttt" in ttt.case.entries("evals.json"):
        # Its main() leaves the frequencies in bfloat16 too, and the tables follow.
        rope = replace(model.config.rope, arithmetic="bf16")
        model.config = replace(model.config, rope=rope)
        ttt.run("results.roundtrip_main_prep.ttt", changes, model=model).compare()


def _check_pr576(ttt: Ttt) -> None:
    arguments = ttt.case.entries("evals.json").peek("arguments")
    if "results.roundtrip.ttt_T1.0" not in ttt.case.entries("evals.json"):
        return  # a stride of 0, or of a whole window, runs neither this nor sliding windows
    adapting = arguments["ttt"]
    changes = _stream_changes(adapting, "eval_seq_len") | {
        "last": adapting["ttt_freeze_blocks"],
        "batch_windows": adapting["batch_seqs"],
        "rule.kind": "adamw" if adapting["ttt_optimizer"] == "adamw" else "sgd",
        "rule.clip_norm": arguments["clip_grad_norm"],
    }
    models = {"roundtrip": ttt.decoded()}
    if "state_dict.safetensors" in ttt.case:
        models = {"raw": ttt.scoring.model, **models}
    for weights, model in models.items():
        name = f"results.{weights}.ttt_T1.0"
        run = ttt.run(name, changes, model=model)
        run.compare()
        name = f"results.{weights}.sliding_after_ttt_T0.98"
        want = ttt.want(name)
        recipe = replace(run.recipe, two_pass_temperature=want["inference_temp"])
        run.score(name, want, score_again(run.adapted, run.stream, recipe))
    _check_parameters(run)


def _check_pr1123(ttt: Ttt) -> None:
    adapting = ttt.case.entries("evals.json").peek("arguments")["ttt"]
    changes = _stream_changes(adapting, "seq_len") | {
        "frozen": adapting["ttt_freeze_blocks"],
        "batch_windows": adapting["ttt_batch_seqs"],
        "rule.clip_norm": adapting["ttt_grad_clip"],
        "temperature": adapting["temperature"],
    }
    if "state_dict.safetensors" in ttt.case:
        ttt.run("results.raw.ttt", changes).compare()
    run = ttt.run("results.roundtrip.ttt", changes, model=ttt.decoded())
    run.compare()
    _check_parameters(run)


def _stream_changes(adapting: Mapping[str, Any], window: str) -> dict[str, Any]:
    return {
        "window_tokens": adapting[window],
        "stride_tokens": adapting["stride"],
        "chunk_tokens": adapting["ttt_chunk_tokens"],
        "epochs": adapting["ttt_epochs"],
        "rule.lr": adapting["ttt_lr"],
        "rule.momentum": adapting["ttt_momentum"],
    }


def _check_parameters(run: Run, prefix: str = "") -> None:
    """Compare what adapting left of the parameters, relative to how far they went."""
    case = run.ttt.case
    stored, changes = case.entries("ttt_params_after.npz"), {n: (b, a) for n, b, a in run.changes()}
    for name in sorted(stored):
        before, after = changes[name.removeprefix(prefix)]
        want = stored.take(name)
        moved = max(float(np.abs(want - before.numpy()).max()), 1e-6)
        what = f"{case.label} ttt_params_after.npz {name}, relative to the change"
        run.ttt.report.close(what, (after.numpy() - want) / moved, np.zeros_like(want), 1e-3)


def _check_pr826(ttt: Ttt) -> None:
    entries = ttt.case.entries("evals.json")
    for name in ("ttt", "ttt_polyak0", "ttt_polyak0.5", "ttt_sgd_variant"):
        if name in entries:
            changed = ChainMap(entries.peek(name).get("args_changed", {}), entries["ttt"]["args"])
            run = ttt.run(name, _changes_pr826(changed), draw=Inits(ttt.case, skip=1))
            want = run.compare()
            _check_calls_pr826(run, want)


def _changes_pr826(args: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "window_tokens": args["eval_seq_len"],
        "chunk_tokens": args["ttt_chunk_size"],
        "documents": args["ttt_batch_size"],
        "epochs": args["ttt_epochs"],
        "rank": args["ttt_lora_rank"],
        "polyak": args["ttt_polyak_decay"],
        "temperature": args["ttt_temperature"],
        **{
            f"{site}_lr": args[f"ttt_{site}_lr_scale"] if args["ttt_grouped_lr"] else 1.0
            for site in ("head", "q", "v")
        },
        "rule.kind": args["ttt_optimizer"],
        "rule.lr": args["ttt_lora_lr"],
        "rule.schedule": args["ttt_lr_schedule"].removesuffix("_chunks"),
        "rule.lr_end": args["ttt_cosine_min_lr_scale"],
        "rule.momentum": args["ttt_sgd_momentum"],
        "rule.beta1": args["adam_betas"][0],
        "rule.beta2": args["adam_betas"][1],
        "rule.epsilon": args["adam_eps"],
        "rule.weight_decay": args["ttt_weight_decay"],
        "rule.clip_norm": args["ttt_grad_clip_norm"] or "none",
    }


def _check_calls_pr826(run: Run, want: Mapping[str, Any]) -> None:
    assert isinstance(run.recipe, Lora)
    schedule = DocumentSchedule.of(run.stream, run.recipe)
    label = f"{run.ttt.case.label} evals.json {run.name}"
    if "docs_sorted_start_len" in want:
        got = np.stack([schedule.starts, schedule.lengths + 1], axis=1).tolist()
        run.ttt.report.exact(f"{label} docs_sorted_start_len", got, want["docs_sorted_start_len"])
    if "calls" not in want:
        return
    got = [
        [row, run.losses.total(start + chunk * size, min(size, length - chunk * size))]
        for group in schedule.groups()
        for size in (run.recipe.chunk_tokens,)
        for chunk in range(int(group.chunks[-1]))
        for row, (start, length) in enumerate(
            zip(group.starts.tolist(), group.lengths.tolist(), strict=True)
        )
        if length > chunk * size
    ]
    stored = [[call[0], call[3]] for call in want["calls"]]
    run.ttt.report.close(f"{label} calls, nats of {len(stored)} chunks", got, stored, 1e-2)


def _check_pr1934(ttt: Ttt) -> None:
    entries = ttt.case.entries("evals.json")
    for name in ("doc_chunked_no_update", "lora_ttt_no_global_phases", "phased_ttt"):
        if name not in entries:
            continue
        changes = changes_pr1934(entries.peek(name)["args"], ttt.case.config["hyperparameters"])
        with recorded_phases() as models:
            run = ttt.run(name, changes, draw=Inits(ttt.case, skip=0))
        want = run.compare()
        run.score(f"{name} lut", want["lut"], run.adapted.score)
        _check_sidecar(run, want)
        _check_calls_pr1934(run, want)
        norms = {n: float(after.norm()) for n, _, after in run.changes()}
        if "final_param_norm" in want:
            run.norms("final_param_norm", norms, want["final_param_norm"])
        if want.get("global_phases"):
            _check_phases(run, want["global_phases"], models)


def changes_pr1934(args: Mapping[str, Any], everything: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run of PR 1934 was asked, and its seed, as changes to our recipe."""
    sites = ["q", "v", *(s for s in ("k", "mlp", "o") if args[f"ttt_{s}_lora"]), "head"]
    sgd = args["ttt_optimizer"] == "sgd"  # any other word is AdamW
    return {
        "window_tokens": args["ttt_eval_seq_len"],
        "chunk_tokens": args["ttt_chunk_size"],
        "documents": args["ttt_batch_size"],
        "document_share": args["val_doc_fraction"],
        "document_seed": everything["seed"],
        "order": "long-last" if args["ttt_eval_batches"] else "long-first",
        "epochs": max(args["ttt_grad_steps"], 0),
        "rank": args["ttt_lora_rank"],
        "alpha": float(args["TTT_LORA_ALPHA"]),
        "sites": sites,
        "keep_inputs": str(args["TTT_WARM_START_A"]).lower(),
        "rule.kind": "sgd" if sgd else "adamw",
        "rule.lr": args["ttt_lora_lr"],
        "rule.momentum": args["ttt_beta1"] if sgd else 0.0,
        "rule.beta1": args["ttt_beta1"],
        "rule.beta2": args["ttt_beta2"],
        "rule.epsilon": args["adamw_eps"],
        "rule.weight_decay": args["ttt_weight_decay"],
    } | _shared_changes_pr1934(args)


def _shared_changes_pr1934(args: Mapping[str, Any]) -> dict[str, Any]:
    windows, clip = args["global_ttt_batch_seqs"], args["global_ttt_grad_clip"]
    across = not args["global_ttt_respect_doc_boundaries"]
    return {
        "prefix_documents": max(args["phased_ttt_prefix_docs"], 0),
        "phases": max(args["phased_ttt_num_phases"], 1),
        "shared_window_tokens": args["eval_seq_len"],
        "shared_chunk_tokens": args["global_ttt_chunk_tokens"],
        "shared_epochs": max(args["global_ttt_epochs"], 0),
        "batch_windows": windows,
        "row_windows": windows,
        "across_documents": str(across).lower(),
        "shared.lr": args["global_ttt_lr"],
        "shared.momentum": args["global_ttt_momentum"],
        "shared.clip_norm": clip if clip > 0 else "none",
        "shared.warmup_chunks": max(args["global_ttt_warmup_chunks"], 0),
        "shared.warmup_lr": args["global_ttt_warmup_start_lr"],
    }


def _check_sidecar(run: Run, want: Mapping[str, Any]) -> None:
    if "byte_sidecar" in want:
        counts = run.ttt.case.entries("luts.npz").take("byte_sidecar")[1 : run.stream.ids.size]
        bits = run.adapted.score.loss_sum_nats / math.log(2) / counts.sum()
        what = f"{run.ttt.case.label} evals.json {run.name} byte_sidecar val_bpb"
        run.ttt.report.relative(what, bits, want["byte_sidecar"]["val_bpb"], RELATIVE)


def _check_calls_pr1934(run: Run, want: Mapping[str, Any]) -> None:
    assert isinstance(run.recipe, Lora)
    schedule = DocumentSchedule.of(run.stream, run.recipe)
    batches = [
        {"orig_batch_idx": group.number, "doc_indices": _documents(run, group)}
        for group in schedule.groups()
    ]
    report, label = run.ttt.report, f"{run.ttt.case.label} evals.json"
    entry = run.ttt.case.entries("evals.json").peek("docs")
    what = f"{label} docs ttt_global_batches_in_queue_order"
    report.exact(what, batches, entry["ttt_global_batches_in_queue_order"])
    got = [nats for group in schedule.groups() for nats in _chunk_nats(run, group)]
    stored = [nats for call in want["calls"] for nats in call["loss_sum_per_doc"] if nats]
    report.close(f"{label} {run.name} calls, nats of {len(stored)} chunks", got, stored, 1e-2)
    laid = [call for group in schedule.groups() for call in _calls(run, group)]
    report.exact(f"{label} {run.name} calls", laid, [_active(call) for call in want["calls"]])


def _calls(run: Run, group: DocumentGroup) -> Iterator[dict[str, Any]]:
    """Yield how each call is laid out, of the documents that have so many chunks."""
    assert isinstance(run.recipe, Lora)
    assert run.recipe.window_tokens is not None
    counts, size = run.stream.byte_counts[1:], run.recipe.chunk_tokens
    for chunk in range(int(group.chunks[-1])):
        starts, lengths, first = group.windows(chunk, size, run.recipe.window_tokens).T
        scored = zip((starts + first).tolist(), (starts + lengths).tolist(), strict=True)
        yield {
            "bsz": len(group.starts),
            "context": int(lengths.max()),
            "chunk_offsets": first.tolist(),
            "chunk_lens": (lengths - first).tolist(),
            "bytes": sum(int(counts[low:high].sum()) for low, high in scored),
        }


def _active(call: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored call without the documents that have ended."""
    lists = ("chunk_offsets", "chunk_lens")
    rows = [row for row, length in enumerate(call["chunk_lens"]) if length]
    kept = {name: [call[name][row] for row in rows] for name in lists}
    return {name: call[name] for name in ("bsz", "context", "bytes")} | kept


def _documents(run: Run, group: DocumentGroup) -> list[int]:
    starts = np.flatnonzero(run.stream.ids[:-1] == run.stream.bos_id)
    places: list[int] = np.searchsorted(starts, group.starts).tolist()
    return places


@contextmanager
def recorded_phases() -> Iterator[list[dict[str, Tensor]]]:
    """Collect all weights of the model, as they are after each phase."""
    found: list[dict[str, Tensor]] = []

    def learn(model: GPT, *rest: Any) -> Any:
        updates = learn_phase(model, *rest)
        found.append({n: p.detach().clone() for n, p in model.named_parameters()})
        return updates

    with patch.object(per_document, "learn_phase", learn):
        yield found


def _check_phases(
    run: Run, want: list[dict[str, Any]], models: Sequence[Mapping[str, Tensor]]
) -> None:
    assert isinstance(run.recipe, Phased)
    schedule = DocumentSchedule.of(run.stream, run.recipe)
    before: Mapping[str, Tensor] = {n: p.detach() for n, p in run.model.named_parameters()}
    found = phases(schedule, run.recipe)
    sizes = [phase.tokens(run.stream.ids, doubled_bos=True).size for phase in found.values()]
    what = f"{run.ttt.case.label} evals.json {run.name} global_phases"
    run.ttt.report.exact(f"{what} n_tokens", sizes, [phase["n_tokens"] for phase in want])
    chunks, calls = 0, []
    for group in schedule.groups():
        chunks += int(group.chunks[-1])
        calls += [chunks] if group.number in found else []
    run.ttt.report.exact(f"{what} after_calls", calls, [phase["after_calls"] for phase in want])
    for number, (phase, after) in enumerate(zip(want, models, strict=True)):
        norms = {name: float(weight.norm()) for name, weight in after.items()}
        run.norms(f"phase {number} param_norm", norms, phase["param_norm"])
        norms = {name: float((w - before[name]).norm()) for name, w in after.items()}
        run.norms(f"phase {number} param_delta_norm", norms, phase["param_delta_norm"])
        before = after


def _chunk_nats(run: Run, group: DocumentGroup) -> Iterator[float]:
    """Yield what each document's chunks lost, chunk by chunk."""
    size = run.recipe.chunk_tokens
    for chunk in range(int(group.chunks[-1])):
        for start, length in zip(group.starts.tolist(), group.lengths.tolist(), strict=True):
            if length > chunk * size:
                first = chunk * size
                yield run.losses.total(start + first, min(size, length - first))


SYSTEMS: dict[str, Callable[[Ttt], None]] = {
    "pr2086": _check_pr2086,
    "pr576": _check_pr576,
    "pr1123": _check_pr1123,
    "pr826": _check_pr826,
    "pr1934": _check_pr1934,
}
