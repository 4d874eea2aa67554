"""Phases, and which documents there are: the forks of PR 1934."""

from collections.abc import Mapping
from random import Random

import numpy as np
import pytest
import torch
from torch import Tensor

from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.adaptation import adapt
from artpack.evaluation.ttt.document_schedule import DocumentSchedule
from artpack.evaluation.ttt.phases import learn_phase, phases
from artpack.evaluation.ttt.recipe_windows import plan_of
from artpack.models import GPT, Documents
from artpack.runners.settings import REFERENCE
from tests.evaluation.ttt.test_per_document import lora, phased


def sizes(stream: Stream, *more: str) -> dict[int, int]:
    """Return the documents of the phase after each group."""
    recipe = phased(*more)
    found = phases(DocumentSchedule.of(stream, recipe), recipe)
    return {number: len(phase.starts) for number, phase in found.items()}


def test_where_phases_fall(stream: Stream) -> None:
    documents = len(np.flatnonzero(stream.ids[:-1] == 1))
    groups = -(-documents // 3)
    assert sizes(stream, "prefix_documents=0") == {}
    assert sizes(stream, "prefix_documents=5", "phases=1") == {1: 5}
    # Borders 0, 1 and 2: the first phase is empty, and there is one a group at most.
    assert sizes(stream, "prefix_documents=2", "phases=3") == {0: 0, 1: 1, 2: 2}
    more = ("prefix_documents=999", "phases=1")
    assert sizes(stream, *more) == {}
    assert sizes(stream, *more, "idle_phase=true") == {groups - 1: documents}


def test_a_phase_has_the_first_of_all_documents_so_far_by_their_order(stream: Stream) -> None:
    recipe = phased("prefix_documents=4", "phases=2", "order=long-first")
    schedule = DocumentSchedule.of(stream, recipe)
    last, before = list(schedule.groups())[:2]
    found = phases(schedule, recipe)
    assert list(found) == [last.number, before.number]
    assert found[last.number].starts.tolist() == schedule.starts[last.members][:2].tolist()
    both = [*before.members, *last.members][:4]
    assert found[before.number].starts.tolist() == schedule.starts[both].tolist()


def test_an_empty_phase_learns_nothing_and_draws_the_matrices_anew(
    model: GPT, stream: Stream
) -> None:
    drawn = []

    def draw(documents: int, shapes: Mapping[str, tuple[int, int]]) -> Mapping[str, Tensor]:
        drawn.append(documents)
        return {name: torch.full((documents, *shape), 0.1) for name, shape in shapes.items()}

    sets = ("keep_inputs=true", "phases=2", "prefix_documents=1", "order=long-last")
    adapted = adapt(model, stream, phased(*sets), draw=draw)
    assert adapted.journal.faults(stream.ids.size - 1) == []
    # At the start, and after both phases; an incomplete group has matrices of its own.
    assert drawn[:3] == [3, 3, 3]
    assert len(drawn) == 3 + (len(np.flatnonzero(stream.ids[:-1] == 1)) % 3 > 0)


def updates(model: GPT, stream: Stream, *more: str) -> list[tuple[int, int, int, bool]]:
    """Return rows, tokens and segments of what each step of a phase reads, and if it is cut."""
    seen = []

    def hidden(ids: Tensor, documents: Documents | None = None, **_: object) -> Tensor:
        cut = documents is not None
        starts = int(documents.starts.sum()) if documents is not None else 0
        seen.append((*ids.shape, starts, cut))
        return GPT.hidden(model, ids, documents)

    recipe = phased("prefix_documents=6", "phases=1", *more)
    phase = next(iter(phases(DocumentSchedule.of(stream, recipe), recipe).values()))
    model.hidden = hidden  # type: ignore[method-assign, assignment]
    learn_phase(model, recipe, phase, stream, REFERENCE)
    return seen


def test_documents_share_a_row_and_are_kept_apart(model: GPT, stream: Stream) -> None:
    seen = updates(model, stream, "row_windows=2", "shared_window_tokens=8")
    assert {(rows, tokens, cut) for rows, tokens, _, cut in seen} == {(1, 16, True)}
    assert min(starts for _, _, starts, _ in seen) >= 2


def test_windows_may_run_across_documents(model: GPT, stream: Stream) -> None:
    seen = updates(model, stream, "across_documents=true", "shared_window_tokens=8")
    assert {(rows, tokens, cut) for rows, tokens, _, cut in seen} == {(2, 8, False)}
    seen = updates(model, stream, "across_documents=true")
    assert {(rows, tokens, cut) for rows, tokens, _, cut in seen} == {(2, 16, False)}


def test_a_chunk_shorter_than_a_window_teaches_nothing(model: GPT, stream: Stream) -> None:
    assert updates(model, stream, "shared_chunk_tokens=7", "shared_window_tokens=8") == []
    assert updates(model, stream, "shared_epochs=0") == []


@pytest.mark.parametrize("share", [1.0, 0.5, 0.3, 0.001])
def test_a_share_of_the_documents_is_pythons_sample(stream: Stream, share: float) -> None:
    recipe = lora(f"document_share={share}", "document_seed=1337")
    starts = np.flatnonzero(stream.ids[:-1] == 1)
    count = max(1, round(len(starts) * share))
    want = starts
    if share < 1:
        want = starts[sorted(Random(1337).sample(range(len(starts)), count))]
    assert DocumentSchedule.of(stream, recipe).starts.tolist() == want.tolist()
    assert len(want) == count
    plan = plan_of(recipe, stream)
    assert np.unique(plan.windows[plan.windows[:, 2] == 0, 0]).tolist() == want.tolist()
    assert plan.coverage().scored == DocumentSchedule.of(stream, recipe).lengths.sum()


def test_tokens_before_the_first_bos_are_a_document_or_left_out() -> None:
    ids = np.array([5, 6, 1, 7, 1, 8, 1], np.uint16)
    stream = Stream(ids, np.ones(ids.size, np.int64))
    assert DocumentSchedule.of(stream, lora()).lengths.tolist() == [2, 2, 2]
    headless = lora("drops_headless=true")
    assert DocumentSchedule.of(stream, headless).starts.tolist() == [2, 4]
    assert plan_of(headless, stream).coverage().skipped == 2
    whole = Stream(ids[2:], np.ones(5, np.int64))
    assert DocumentSchedule.of(whole, headless).starts.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("sites", "more"),
    [
        ('["q", "v", "head"]', ()),
        ('["q", "v", "k", "mlp", "o", "head"]', ("rule.kind=sgd", "rule.weight_decay=0.1")),
        ('["head"]', ("epochs=0",)),
        ('["head"]', ("epochs=3", "keep_inputs=false")),
    ],
)
def test_settings_of_the_adapters_run(
    model: GPT, stream: Stream, sites: str, more: tuple[str, ...]
) -> None:
    adapted = adapt(model, stream, phased(f"sites={sites}", *more))
    assert adapted.journal.faults(stream.ids.size - 1) == []
