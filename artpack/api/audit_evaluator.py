"""The job of ``artpack.audit(evaluator=...)``: an evaluator of which nothing is known."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artpack.api.audit import training_shards
from artpack.api.eval_tokens import (
    PathLike,
    ScoredTokens,
    Sidecar,
    Tokenizer,
    checked_ids,
    read_eval_tokens,
)
from artpack.api.evaluator_report import EvaluatorReport, EvaluatorScore
from artpack.errors import UsageError
from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.audit.denominator import judge_bytes
from artpack.evaluation.audit.overlap import judge_overlap
from artpack.evaluation.black_box.answer import Answer
from artpack.evaluation.black_box.examination import Examination
from artpack.evaluation.black_box.plan import ExaminationPlan
from artpack.evaluation.black_box.processes import Command, FreshProcesses, Function
from artpack.evaluation.black_box.text import judge_canary, judge_claim, mean_loss
from artpack.evaluation.black_box.worker import isolates
from artpack.evaluation.tokens.shards import Tokens, read_tokens
from artpack.evaluation.tokens.stream import Stream
from artpack.stages.progress import Progress

_USUAL_BOS = 1
_LIMITS = (
    "training on the text cannot be seen in losses; `train_tokens` and `reference_tokens` help",
    "an evaluator that has the text by heart can tell an altered one, and answer for both",
    "the score that was examined is the one in this report, not one that is claimed elsewhere",
)
_NOT_ISOLATED = (
    "this system cannot keep a process from writing files (Linux with Landlock can): runs may"
    " have had memory of each other"
)
_ISOLATED = "memory outside files, such as a server on the network, was not looked for"


@dataclass(frozen=True, eq=False)
class _Text:
    """The tokens, and what was found out about them without a run."""

    ids: Tokens
    vocab_size: int
    bos_id: int
    scored_bytes: int | None = None
    finding: Condition | None = None
    sha256: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()


def audit_evaluator(
    evaluator: Function | Command,
    tokens: ScoredTokens,
    *,
    distribution: Function | None = None,
    tokenizer: Tokenizer | None = None,
    sidecar: Sidecar | None = None,
    vocab_size: int | None = None,
    limit_tokens: int | None = None,
    plan: ExaminationPlan | None = None,
    reference_tokens: PathLike | NDArray[np.integer] | None = None,
    train_tokens: PathLike | NDArray[np.integer] | None = None,
    progress: Progress | None = None,
) -> EvaluatorReport:
    """
    Examine an evaluator that is run in fresh processes.

    Args:
        evaluator: It takes token ids and gives the loss of each but the first.
        tokens: What is scored: files, or an array of ids (tokens,).
        distribution: Gives the losses of all tokens that may follow the ids that it takes.
        tokenizer: The SentencePiece model of the tokens; None leaves the bytes out.
        sidecar: Bytes per token; CaseOps tokens need them.
        vocab_size: Ids are below this; None for the tokenizer's.
        limit_tokens: Examine the first so many targets.
        plan: How much is tried.
        reference_tokens: Fresh documents of the same source and tokenizer.
        train_tokens: What the model was trained on; None leaves the check out.
        progress: Told after every run.

    Returns:
        What was found.

    Raises:
        UsageError: The tokens are not usable, or there is no tokenizer or size of vocabulary.
        EvaluatorError: The evaluator failed.

    """
    text = _read(tokens, tokenizer, sidecar, vocab_size, limit_tokens)
    asked, chosen = FreshProcesses(evaluator), plan or ExaminationPlan()
    lists = None if distribution is None else FreshProcesses(distribution, asked.runs)
    seed = secrets.randbits(32) if chosen.seed is None else chosen.seed
    examined = Examination(
        ask=asked,
        ids=text.ids,
        vocab_size=text.vocab_size,
        bos_id=text.bos_id,
        plan=chosen,
        seed=seed,
        several=asked.takes_several,
        list_all=lists,
        progress=progress,
    ).run()
    more, notes = [], list(text.notes)
    sound = len(examined.conditions) > 1
    if text.finding is not None and text.scored_bytes is not None:
        claimed = examined.answer.claimed_bytes
        more.append(judge_claim(text.finding, claimed, text.scored_bytes))
    elif examined.answer.claimed_bytes is not None:
        notes.append("the evaluator's count of bytes is not checked: give `tokenizer`")
    if train_tokens is not None:
        stream = Stream(text.ids, np.zeros(text.ids.size, np.int64), text.bos_id)
        more.append(judge_overlap(stream, training_shards(train_tokens)))
    if reference_tokens is not None and sound:
        more.append(_canary(asked, text, examined.answer, reference_tokens))
    isolated = isolates()
    return EvaluatorReport(
        evaluator=evaluator.said,
        score=_score(examined.answer, text) if sound else None,
        conditions=(*examined.conditions, *more),
        missed=examined.chances,
        plan=chosen,
        seed=seed,
        isolated=isolated,
        runs=tuple(asked.runs),
        sha256=_hashes(text, evaluator),
        limits=(*_LIMITS, _ISOLATED if isolated else _NOT_ISOLATED),
        notes=tuple(notes),
    )


def _read(
    tokens: ScoredTokens,
    tokenizer: Tokenizer | None,
    sidecar: Sidecar | None,
    vocab_size: int | None,
    limit_tokens: int | None,
) -> _Text:
    end = None if limit_tokens is None else limit_tokens + 1
    if tokenizer is None:
        if vocab_size is None:
            raise UsageError(
                "how many tokens there are is not known: give `tokenizer` or `vocab_size`"
            )
        return _Text(_ids(tokens)[:end], vocab_size, _USUAL_BOS)
    read = read_eval_tokens(tokens, tokenizer, sidecar, check=False, faithful=False)
    assert read.tokenizer is not None
    finding, hashes = judge_bytes(read.stream, read.tokenizer, texts=read.texts)
    scored = int(read.stream.byte_counts[1:end].sum())
    size = vocab_size or read.tokenizer.vocab_size()
    return _Text(
        read.stream.ids[:end],
        size,
        read.stream.bos_id,
        scored,
        finding,
        {**hashes, **read.sha256},
        read.notes,
    )


def _ids(tokens: ScoredTokens) -> Tokens:
    if isinstance(tokens, Stream):
        return checked_ids(tokens.ids)
    if isinstance(tokens, np.ndarray):
        return checked_ids(tokens)
    return checked_ids(read_tokens(os.fspath(tokens)))


def _canary(
    asked: FreshProcesses, text: _Text, answer: Answer, reference: PathLike | NDArray[np.integer]
) -> Condition:
    fresh = _ids(reference)
    if int(fresh.max()) >= text.vocab_size:
        raise UsageError(f"`reference_tokens`: id {fresh.max()} is beyond the vocabulary")
    other = asked([fresh], "fresh documents")
    if faults := list(other.faults(fresh.size - 1)):
        raise UsageError(f"`reference_tokens`: {faults[0]}")
    ours = mean_loss(text.ids, answer.losses, text.bos_id)
    return judge_canary(ours, mean_loss(fresh, other.losses, text.bos_id))


def _score(answer: Answer, text: _Text) -> EvaluatorScore:
    bits = float(answer.losses.sum()) / log(2)
    return EvaluatorScore(
        targets=answer.losses.size,
        nats_per_token=float(answer.losses.mean()),
        bits_per_byte=bits / text.scored_bytes if text.scored_bytes else None,
        losses_sha256=sha256(answer.losses.astype("<f8").tobytes()).hexdigest(),
    )


def _hashes(text: _Text, evaluator: Function | Command) -> dict[str, str]:
    found = dict(text.sha256 or {"token ids": sha256(text.ids.astype("<u4").tobytes()).hexdigest()})
    for path in evaluator.files():
        found[str(path)] = sha256(Path(path).read_bytes()).hexdigest()
    return found
