"""Every recipe passes the audit; a loop that learns before it scores does not."""

from collections.abc import Sequence

import pytest
import torch

from artpack.errors import UsageError
from artpack.evaluation.audit.run import audit_evaluator
from artpack.evaluation.audit.sample import Sample
from artpack.evaluation.scoring.evaluators import Evaluator, Mixed
from artpack.evaluation.scoring.observation import Pass
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt import adaptation as loop
from artpack.evaluation.ttt.evaluator import Adapting, check_left_to_right
from artpack.evaluation.ttt.strategy import Step
from artpack.runners.settings import REFERENCE
from tests.evaluation.ttt.conftest import SETS, tiny_model, tiny_recipe, tiny_stream

SAMPLE = Sample(cuts=2, rows=20)


def broken(evaluator: Evaluator) -> set[str]:
    """Return the conditions that an evaluator breaks."""
    findings = audit_evaluator(evaluator, tiny_stream(240), SAMPLE, exact=True)
    return {finding.name for finding in findings if not finding.passed}


def adapting(name: str, *more: str) -> Adapting:
    """Return a recipe's evaluator."""
    return Adapting(tiny_model(), tiny_recipe(name, *more), REFERENCE)


@pytest.mark.parametrize("name", SETS)
def test_recipes_pass(name: str) -> None:
    assert broken(adapting(name)) == set()


@pytest.mark.parametrize("name", ["blocks", "phased"])
def test_recipes_pass_with_all_that_learns(name: str) -> None:
    assert broken(Mixed(adapting(name, "fit_temperature=true"), "learned")) == set()


@pytest.mark.parametrize(("name", "order"), [("lora", "short-first"), ("phased", "long-first")])
def test_documents_out_of_order_pass_in_their_own(name: str, order: str) -> None:
    assert broken(adapting(name, f"order={order}", "joint=true", "keep_inputs=true")) == set()


class LearnsFirst(loop._Run):
    """Takes every step the wrong way round, and may say so in its journal."""

    admits = True

    def _take(self, step: Step) -> None:
        if step.update:
            self.updates += self._strategy.learn(step)
        scores = self._strategy.score(step, self._observer)
        self.tally.add(scores.targets, scores.losses[:, self._strategy.temperature.chosen])
        entries = [(self.journal.scored, step.scored()), (self.journal.updated, step.update)]
        for write, ranges in reversed(entries) if self.admits else entries:
            for first, end in ranges:
                write(first, end)


@pytest.mark.parametrize(
    ("admits", "conditions"), [(True, {"C1", "C2", "C3"}), (False, {"C1", "C2"})]
)
def test_a_loop_that_learns_first_is_caught_even_if_its_journal_lies(
    monkeypatch: pytest.MonkeyPatch, *, admits: bool, conditions: set[str]
) -> None:
    monkeypatch.setattr(LearnsFirst, "admits", admits)
    monkeypatch.setattr(loop, "_Run", LearnsFirst)
    assert broken(adapting("scalars")) == conditions


def test_weights_that_are_kept_from_run_to_run_are_caught() -> None:
    model = tiny_model()
    honest = Adapting(model, tiny_recipe("scalars"), REFERENCE)

    def keeps(stream: Stream, watch: Sequence[int]) -> Pass:
        seen = honest(stream, watch)
        with torch.no_grad():
            model.tok_emb.weight[int(stream.ids[-1])] += 0.1
        return seen

    assert "C1" in broken(keeps)


@pytest.mark.parametrize("more", [["joint=true"], ["keep_inputs=true", "order=long-first"]])
def test_documents_that_learn_from_later_ones_are_not_mixed(more: list[str]) -> None:
    with pytest.raises(UsageError, match="learn from later ones"):
        check_left_to_right(tiny_recipe("lora", *more))
    check_left_to_right(tiny_recipe("lora", "order=short-first"))


def test_documents_that_learn_from_later_ones_are_caught_when_mixed() -> None:
    recipe = adapting("phased", "order=long-first", "keep_inputs=true")
    assert "C1" in broken(Mixed(recipe, "learned"))
