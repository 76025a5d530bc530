"""What a stream of samples is like, counted as it passes: lengths, endings, pass rates."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from r1lab.generation.steps.base import Group

#: Pass rates are shown in these parts; none and all of a prompt's samples right stand apart.
PASS_RATES = ("0", "0 to 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 to 1", "1")
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
_UNKNOWN = "(not said)"


class Statistics:
    """Counts groups as they pass (:meth:`watch`); :meth:`facts` are plain values at any time.

    It holds 4 bytes a sample, for the quantiles of the lengths.
    """

    def __init__(self) -> None:
        self._prompts = self._samples = self._reasoning = 0
        self._verdicts: Counter[bool | None] = Counter()
        self._finish: Counter[str] = Counter()
        self._pass_rates: Counter[str] = Counter()
        self._tokens = array("I")
        self._prompt_tokens = 0

    def watch(self, groups: Iterable[Group]) -> Iterator[Group]:
        """The same groups, each counted before it is passed on."""
        for group in groups:
            self.add(group)
            yield group

    def add(self, group: Group) -> None:
        """Count a group and the samples that it has now."""
        self._prompts += 1
        if group.pass_rate is not None:
            self._pass_rates[part_of(group.pass_rate)] += 1
        for sample in group.samples:
            answer = sample.answer
            self._samples += 1
            self._verdicts[sample.correct] += 1
            self._finish[answer.finish_reason or _UNKNOWN] += 1
            self._reasoning += answer.reasoning is not None
            if answer.completion_tokens is not None:
                self._tokens.append(answer.completion_tokens)
            self._prompt_tokens += answer.prompt_tokens or 0

    def facts(self) -> dict[str, Any]:
        """Plain values. ``tokens`` are those of answers, and empty where the server counts none."""
        return {
            "prompts": self._prompts,
            "samples": self._samples,
            "right": self._verdicts[True],
            "wrong": self._verdicts[False],
            "not verified": self._verdicts[None],
            "with reasoning apart": self._reasoning,
            "finish_reasons": dict(self._finish.most_common()),
            "pass_rates": {part: self._pass_rates[part] for part in PASS_RATES}
            if self._pass_rates
            else {},
            "tokens": self._lengths(),
            "prompt_tokens": self._prompt_tokens,
        }

    def _lengths(self) -> dict[str, float]:
        if not self._tokens:
            return {}
        import numpy

        lengths = numpy.frombuffer(self._tokens, dtype=numpy.uint32)
        found = {"mean": float(lengths.mean()), "sum": float(lengths.sum())}
        found |= {name: float(numpy.quantile(lengths, q)) for name, q in _QUANTILES.items()}
        return {**found, "max": float(lengths.max())}


def part_of(rate: float) -> str:
    """The one of ``PASS_RATES`` that a rate is in."""
    if rate <= 0:
        return PASS_RATES[0]
    if rate >= 1:
        return PASS_RATES[-1]
    return PASS_RATES[1 + int(rate * 5 + 1e-9)]
