"""The runs of an examination, and what they come to."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from artpack.errors import UsageError
from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.black_box.alterations import (
    KINDS,
    Alterations,
    Altered,
    Kind,
    suspicious_places,
    tries,
    with_token,
)
from artpack.evaluation.black_box.answer import Answer, Ask, Losses
from artpack.evaluation.black_box.causality import Trial, compare, judge_causality
from artpack.evaluation.black_box.normalisation import (
    Bet,
    Sum,
    judge_normalisation,
)
from artpack.evaluation.black_box.plan import (
    LISTED,
    SMALL_VOCABULARY,
    Chance,
    ExaminationPlan,
    Examined,
)
from artpack.evaluation.black_box.repeats import Repeat, compare_again, judge_once, judge_repeats
from artpack.evaluation.tokens.shards import Tokens
from artpack.stages.progress import Progress

_FEWEST_TOKENS = 16
_MOST_SUSPICIOUS = 64
_SHARES = (0.001, 0.01, 0.1)


@dataclass(eq=False)
class Examination:
    """
    Examines an evaluator.

    Attributes:
        ask: Runs it.
        ids: The stream, shape (tokens,).
        vocab_size: Ids are below this.
        bos_id: The id that starts a document; None if it is not known.
        plan: How much is tried.
        seed: Of all chance.
        several: Whether one process can evaluate two streams.
        list_all: Runs what gives the losses of all tokens that may follow a beginning, shape
            (vocab_size,); None if the evaluator does not offer it.
        progress: Told after every run.
    """

    ask: Ask
    ids: Tokens
    vocab_size: int
    bos_id: int | None
    plan: ExaminationPlan
    seed: int
    several: bool = True
    list_all: Ask | None = None
    progress: Progress | None = None
    _faults: list[str] = field(default_factory=list)
    _trials: list[Trial] = field(default_factory=list)
    _bet: Bet = field(default_factory=Bet)
    _runs: int = 0
    _total: int = 1

    def __post_init__(self) -> None:
        if self.ids.size < _FEWEST_TOKENS:
            raise UsageError(
                f"`tokens`: {self.ids.size} are too few; give {_FEWEST_TOKENS} at least"
            )
        if self.vocab_size < 2 or int(self.ids.max()) >= self.vocab_size:
            raise UsageError(
                f"`tokens`: id {self.ids.max()} is beyond a vocabulary of {self.vocab_size}"
            )

    def run(self) -> Examined:
        """
        Run everything.

        Returns:
            What was found; C3 alone if the stream as it is did not get its losses.

        """
        answer = self._ask(self.ids, "the text")
        if self._faults:
            return Examined((self._judge_once(),), answer)
        # Only now is it decided what is compared.
        draw = np.random.default_rng(self.seed)
        alterations = Alterations(self.ids, self.vocab_size, draw, self._fixed())
        cuts, random_cuts = self._cuts(alterations.free, draw)
        summed, listed = self._summed(alterations.free, draw)
        self._total = 2 + len(cuts) + summed.size * (self.vocab_size - 1) + 2 * listed.size
        self._total += 3 + self.several
        for place, kind in cuts:
            self._try_cut(answer, alterations.cut(place, kind), kind)
        sums = [self._sum(answer, int(place)) for place in summed]
        sums += [self._list(answer, alterations, int(place)) for place in listed]
        repeats = self._repeat(answer, alterations)
        return self._judged(answer, sums, repeats, random_cuts)

    def _judged(
        self, answer: Answer, sums: list[Sum], repeats: list[Repeat], random_cuts: int
    ) -> Examined:
        bound = self.plan.bound_nats
        conditions = (
            judge_causality(self._trials, random_cuts, bound),
            judge_normalisation(answer.losses, sums, self._bet, bound),
            self._judge_once(),
            judge_repeats(repeats, bound),
        )
        missed = tuple(
            Chance(
                share,
                leak=(1 - share) ** random_cuts,
                sums=(1 - share) ** len(sums),
                peek=self._bet.missed(share),
            )
            for share in sorted({*_SHARES, self.plan.share})
        )
        return Examined(conditions, answer, missed, random_cuts)

    def _fixed(self) -> int | None:
        return self.bos_id if self.plan.keep_documents else None

    def _ask(self, ids: Tokens, what: str, *before: Tokens) -> Answer:
        answer = self.ask([*before, ids], what)
        self._runs += 1
        self._faults += [f"{what}: {fault}" for fault in answer.faults(ids.size - 1)]
        if self.progress is not None:
            self.progress("examining", self._runs, max(self._total, self._runs))
        return answer

    def _judge_once(self) -> Condition:
        return judge_once(self._faults, self.ids.size - 1, self._runs)

    def _cuts(
        self, free: NDArray[np.int64], draw: np.random.Generator
    ) -> tuple[list[tuple[int, Kind]], int]:
        """Return places and kinds in random order, and how many places are random."""
        places = free[free >= 2]
        count = min(tries(self.plan.confidence, self.plan.share), places.size)
        random = draw.choice(places, size=count, replace=False).tolist()
        most = min(max(count // 4, 8), _MOST_SUSPICIOUS)
        chosen = suspicious_places(self.ids, free, most, self.bos_id)
        cuts = [(place, KINDS[n % len(KINDS)]) for n, place in enumerate([*random, *chosen])]
        return [cuts[n] for n in draw.permutation(len(cuts))], count

    def _try_cut(self, answer: Answer, altered: Altered, what: str) -> Losses:
        after = self._ask(altered.ids, f"{what} from {altered.cut}").losses
        if after.shape == answer.losses.shape:
            bound = self.plan.bound_nats
            self._trials.append(compare(answer.losses, after, altered.cut, bound))
            ratios = np.exp(-after[altered.drawn - 1]) / altered.chances
            self._bet.add(ratios, altered.chances)
        return after

    def _summed(
        self, free: NDArray[np.int64], draw: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw where every token is tried, and where all losses are asked for."""
        places = draw.permutation(free[free >= 1])
        small = self.vocab_size <= SMALL_VOCABULARY and self.list_all is None
        usual = 2 if small else 0
        wanted = usual if self.plan.sums is None else self.plan.sums
        return places[:wanted], places[: 0 if self.list_all is None else LISTED]

    def _sum(self, answer: Answer, place: int) -> Sum:
        """Put every token in a place, and sum up what it would have been given."""
        total = float(np.exp(-answer.losses[place - 1]))
        for token in range(self.vocab_size):
            if token != self.ids[place]:
                altered = with_token(self.ids, place, token)
                losses = self._try_cut(answer, altered, f"token {token}")
                total += float(np.exp(-losses[place - 1])) if losses.size >= place else np.nan
        return Sum(place, total)

    def _list(self, answer: Answer, alterations: Alterations, place: int) -> Sum:
        """Compare the losses of two tokens with those that are listed without either."""
        assert self.list_all is not None
        row = self.list_all([self.ids[:place]], f"all tokens at {place}").losses
        altered = alterations.cut(place, "single")
        other = self._try_cut(answer, altered, f"another token at {place}")
        if row.shape != (self.vocab_size,) or other.size < place:
            return Sum(place, np.nan, np.nan)
        pairs = ((answer.losses, self.ids), (other, altered.ids))
        errors = [abs(float(losses[place - 1] - row[ids[place]])) for losses, ids in pairs]
        return Sum(place, float(np.exp(-row).sum()), max(errors))

    def _repeat(self, answer: Answer, alterations: Alterations) -> list[Repeat]:
        """Ask for the same losses again, in other ways."""
        asked: list[tuple[str, Tokens, tuple[Tokens, ...]]] = [("a second run", self.ids, ())]
        size = self.ids.size
        lengths = [size - 1, size // 2, int(alterations.draw.integers(3, size - 1))]
        asked += [(f"the first {length:,} tokens", self.ids[:length], ()) for length in lengths]
        if self.several:
            other = alterations.cut(int(alterations.free[0]), "drawn").ids
            asked.append(("after another stream in the same process", self.ids, (other,)))
        repeats = []
        for how, ids, before in asked:
            again = self._ask(ids, how, *before).losses
            if again.shape == (ids.size - 1,):
                repeats.append(compare_again(how, answer.losses, again, self.plan.bound_nats))
        return repeats
