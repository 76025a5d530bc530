"""Which answers are right, by the gold that the data gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, Literal

from r1lab.errors import Problem
from r1lab.generation.scoring import BATCH_SAMPLES, Item, Scorer, batches, items_of
from r1lab.generation.statistics import PASS_RATES, part_of
from r1lab.generation.steps.base import Context, Group, Step
from r1lab.rewards.accuracy import Accuracy
from r1lab.rewards.base import check_choice, check_count, check_number
from r1lab.verify.verifier import get_verifier

Keep = Literal["right", "not_wrong", "all"]


class Verify(Step):
    """Compare each answer with the gold, and keep the right ones.

    ``reward`` is the reward of the library that decides: ``accuracy`` compares mathematics by
    value, ``multiple_choice`` letters, ``code`` runs tests; an answer is right from the value
    ``right_from`` on. Its parameters are those of the config's ``rewards`` where it is selected
    there, else its defaults. What the value was is among the sample's scores.

    ``keep: right``, the default, drops what is wrong and what could not be verified: wrong answers
    must not be learnt. ``not_wrong`` keeps what could not be verified, ``all`` everything, marked,
    for steps that come after. A prompt's pass rate is the share of right answers among those that
    were verified here, dropped or not; so what is dropped before this step is not in it.

    Not verified is an answer whose gold cannot be parsed, or where comparing took longer than
    ``rewards.accuracy.deadline_s``. ``batch_size`` is how many samples are compared at a time.
    """

    verifies: ClassVar[bool] = True

    def __init__(
        self,
        reward: str = "accuracy",
        right_from: float = 1.0,
        keep: Keep = "right",
        batch_size: int = BATCH_SAMPLES,
    ):
        super().__init__()
        check_number("right_from", right_from)
        check_choice("keep", keep, ("right", "not_wrong", "all"))
        check_count("batch_size", batch_size)
        self.right_from, self.keep, self.batch_size = right_from, keep, batch_size
        self._scorer = Scorer(reward)
        self._verdicts_of: Counter[bool | None] = Counter()
        self._rates: Counter[str] = Counter()

    def check(self, key: str, context: Context) -> list[Problem]:
        return self._scorer.check(f"{key}.reward", context)

    def needs_columns(self) -> Sequence[str]:
        return self._scorer.columns

    def facts(self) -> dict[str, Any]:
        right, wrong = self._verdicts_of[True], self._verdicts_of[False]
        verdicts = {"right": right, "wrong": wrong, "not verified": self._verdicts_of[None]}
        return {**verdicts, "pass_rates": {part: self._rates[part] for part in PASS_RATES}}

    def prepare(self, context: Context) -> None:
        self._verdicts_of.clear()
        self._rates.clear()
        self._scorer.prepare(context)

    def apply(self, groups: Iterable[Group]) -> Iterator[Group]:
        for batch in batches(groups, self.batch_size):
            items = items_of(batch)
            for (_, sample), verdict in zip(items, self._verdicts(items), strict=True):
                sample.correct = verdict
            for group in batch:
                self._finish(group)
                yield group

    def _verdicts(self, items: Sequence[Item]) -> list[bool | None]:
        """Right, wrong or not verified; sets the samples' scores."""
        reward = self._scorer.reward.reward
        if isinstance(reward, Accuracy) and reward.compat is None:
            verdicts = self._compared(items, reward.deadline_s)
            values = [None if right is None else float(right) for right in verdicts]
        else:
            values = self._scorer(items)
            verdicts = [None if value is None else value >= self.right_from for value in values]
            for why, count in self._scorer.reward.drain_counts().items():
                self.counts[f"{self._scorer.name}: {why}"] += count
            self.counts["not verified: does not apply"] += sum(right is None for right in verdicts)
        for (_, sample), value in zip(items, values, strict=True):
            sample.scores[self._scorer.name] = value
        return verdicts

    def _compared(self, items: Sequence[Item], deadline_s: float) -> list[bool | None]:
        """As ``accuracy`` does it, but that an answer which was never compared is not wrong."""
        texts = [sample.answer.whole() for _, sample in items]
        pairs = list(zip(texts, (prompt.gold for prompt, _ in items), strict=True))
        verdicts = get_verifier(deadline_s).verify_batch(pairs)
        found: list[bool | None] = []
        for verdict in verdicts:
            if verdict.correct is None:
                self.counts["not verified: the gold cannot be parsed"] += 1
            elif verdict.failure is not None:
                self.counts[f"not verified: {verdict.failure}"] += 1
            found.append(verdict.correct if verdict.failure is None else None)
        return found

    def _finish(self, group: Group) -> None:
        verified = [sample for sample in group.samples if sample.correct is not None]
        right = sum(sample.correct is True for sample in verified)
        group.pass_rate = right / len(verified) if verified else None
        if group.pass_rate is not None:
            self._rates[part_of(group.pass_rate)] += 1
        self._verdicts_of.update(sample.correct for sample in group.samples)
        unverified = len(group.samples) - len(verified)
        self.counts["right"] += right
        self.counts["wrong"] += len(verified) - right
        if self.keep == "all":
            return
        self.counts["dropped: wrong"] += len(verified) - right
        if self.keep == "right":
            self.counts["dropped: not verified"] += unverified
        kept = (True, None) if self.keep == "not_wrong" else (True,)
        group.samples = [sample for sample in group.samples if sample.correct in kept]
