"""Which answers of a prompt are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from r1lab.errors import Problem
from r1lab.generation.scoring import weight_of
from r1lab.generation.steps.base import Context, Group, Sample, Step
from r1lab.rewards.base import check_choice, check_count

By = Literal["best", "shortest", "first"]


class Choose(Step):
    """Keep up to ``k`` answers of each prompt; ``k: null`` keeps all that may be kept.

    ``by: best`` takes the right ones first, then those with the highest sum of the values that the
    steps before gave (``verify``, ``reward``), each times its reward's weight; among equals the
    shortest. ``shortest`` goes by tokens, or by characters where the server did not count all of a
    prompt's answers; ``first`` by the order in which they were asked for.

    ``only_right`` keeps none that is not right, which needs ``verify`` before it.
    """

    def __init__(self, by: By = "best", k: int | None = 1, only_right: bool = True):
        super().__init__()
        check_choice("by", by, ("best", "shortest", "first"))
        if k is not None:
            check_count("k", k)
        self.by, self.k, self.only_right = by, k, only_right
        self._weights: dict[str, float] = {}
        self._context: Context | None = None

    def check(self, key: str, context: Context) -> list[Problem]:
        if not self.only_right or any(kind.verifies for kind in context.before):
            return []
        message = "keeps only right answers, and no step before it verifies them"
        fix = f"put verify before it, or set {key}.only_right=false"
        return [Problem(f"{key}.only_right", True, message, fix)]

    def prepare(self, context: Context) -> None:
        self._context, self._weights = context, {}

    def apply(self, groups: Iterable[Group]) -> Iterator[Group]:
        for group in groups:
            group.samples = self._chosen(group.samples)
            yield group

    def _chosen(self, samples: list[Sample]) -> list[Sample]:
        if self.only_right:
            for verdict, why in ((False, "wrong"), (None, "not verified")):
                self.counts[f"dropped: {why}"] += sum(s.correct is verdict for s in samples)
            samples = [sample for sample in samples if sample.correct]
        sizes = dict(zip((sample.number for sample in samples), lengths(samples), strict=True))

        def rank(sample: Sample) -> tuple[float, ...]:
            if self.by == "first":
                return (sample.number,)
            if self.by == "shortest":
                return (sizes[sample.number], sample.number)
            right = {True: 0, None: 1, False: 2}[sample.correct]
            return (right, -self._total(sample), sizes[sample.number], sample.number)

        ranked = sorted(samples, key=rank)
        kept = ranked if self.k is None else ranked[: self.k]
        self.counts["dropped: not chosen"] += len(ranked) - len(kept)
        return kept

    def _total(self, sample: Sample) -> float:
        """The weighted sum of what is known; 0 where nothing is, as in training."""
        return sum(
            self._weight(name) * value for name, value in sample.scores.items() if value is not None
        )

    def _weight(self, name: str) -> float:
        if name not in self._weights:
            config = {} if self._context is None else self._context.config
            self._weights[name] = weight_of(name, config)
        return self._weights[name]


def lengths(samples: Sequence[Sample]) -> list[int]:
    """Tokens, or characters where one of the answers has no count: the two are not compared."""
    tokens = [sample.answer.completion_tokens for sample in samples]
    counted = [count for count in tokens if count is not None]
    if len(counted) == len(samples):
        return counted
    return [len(sample.answer.whole()) for sample in samples]
