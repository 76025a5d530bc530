"""One benchmark's answers in numbers: the strict and the lenient score side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy

from r1lab.evaluation import statistics
from r1lab.evaluation.samples import Samples
from r1lab.evaluation.statistics import NO_ANSWER, Difference, Estimate, Floats, Integers


@dataclass(frozen=True)
class Scored:
    """One way to score the answers.

    ``average`` (avg@n) is the mean score, partial credit and all; ``pass_at[1]`` counts full marks
    only, and is the same number where scores are 0 and 1. ``majority`` has the number of voters as
    its key, and nothing where answers were not grouped or one is sampled. ``unjudged`` counts
    answers without a score, which are left out of the means.
    """

    average: Estimate
    pass_at: dict[int, Estimate]
    majority: dict[int, Estimate]
    unjudged: int


@dataclass(frozen=True)
class Summary:
    """``samples`` is what the question with the most has; shares and tokens are means over answers.

    ``truncated``, ``no_answer`` and ``mean_tokens`` are None where nothing is known of them.
    ``format_gap`` is lenient minus strict over the same answers: what the benchmark's parser does
    not read, which is format and no skill.
    """

    task: str
    questions: int
    samples: int
    answers: int
    scores: dict[str, Scored]
    format_gap: Difference | None
    truncated: float | None
    no_answer: float | None
    mean_tokens: float | None

    def metrics(self) -> dict[str, float]:
        """Flat numbers under names that MLflow accepts: ``strict/pass_at_1`` and its ``_low`` and
        ``_high``, ``lenient/majority_at_64``, ``truncated``, ...
        """
        found: dict[str, float | None] = {
            "questions": float(self.questions),
            "samples": float(self.samples),
            "answers": float(self.answers),
            "truncated": self.truncated,
            "no_answer": self.no_answer,
            "mean_tokens": self.mean_tokens,
        }
        for name, scored in self.scores.items():
            found[f"{name}/unjudged"] = float(scored.unjudged)
            for key, estimate in _named(scored):
                found[f"{name}/{key}"] = estimate.value
                found[f"{name}/{key}_low"], found[f"{name}/{key}_high"] = (
                    estimate.low,
                    estimate.high,
                )
        if self.format_gap is not None:
            gap = self.format_gap.estimate
            found |= {
                "format_gap": gap.value,
                "format_gap_low": gap.low,
                "format_gap_high": gap.high,
            }
        known = {name: value for name, value in found.items() if value is not None}
        return {name: value for name, value in known.items() if not numpy.isnan(value)}


def _named(scored: Scored) -> Iterator[tuple[str, Estimate]]:
    yield "average", scored.average
    yield from ((f"pass_at_{k}", estimate) for k, estimate in scored.pass_at.items())
    yield from ((f"majority_at_{k}", estimate) for k, estimate in scored.majority.items())


def summarize(
    samples: Samples, labels: Integers | None = None, ks: Sequence[int] | None = None
) -> Summary:
    """All numbers of one benchmark.

    ``labels`` group equal answers (:func:`r1lab.evaluation.voting.group_answers`); without them
    there is no majority, and no share of answers without one. ``ks`` of pass@k are by default the
    powers of two below the number of samples, and that number.
    """
    present = samples.texts != None  # noqa: E711  an array's elements
    wanted = powers(samples.most) if ks is None else ks
    scores = {
        name: Scored(
            statistics.estimate(statistics.question_means(values)),
            {k: statistics.estimate(statistics.pass_at(values, k)) for k in wanted},
            {} if labels is None else _majorities(values, labels),
            int((numpy.isnan(values) & present).sum()),
        )
        for name, values in samples.scores.items()
    }
    both = [samples.scores[name] for name in ("strict", "lenient") if name in samples.scores]
    return Summary(
        task=samples.task,
        questions=len(samples.ids),
        samples=samples.most,
        answers=int(present.sum()),
        scores=scores,
        format_gap=_gap(*both) if len(both) == 2 else None,
        truncated=mean(samples.truncated),
        no_answer=None if labels is None else float((labels[present] == NO_ANSWER).mean()),
        mean_tokens=mean(samples.tokens),
    )


def powers(most: int) -> list[int]:
    """1, 2, 4, ... below ``most``, and ``most``."""
    return [2**power for power in range(most.bit_length()) if 2**power < most] + [most]


def mean(values: Floats) -> float | None:
    """The mean of what is known, None where nothing is."""
    return None if numpy.isnan(values).all() else float(numpy.nanmean(values))


def _majorities(values: Floats, labels: Integers) -> dict[int, Estimate]:
    most = values.shape[1]
    if most < 2:
        return {}
    return {most: statistics.estimate(statistics.majority(values, labels))}


def _gap(strict: Floats, lenient: Floats) -> Difference:
    """Over the answers that both judged: the same samples, not only the same questions."""
    unknown = numpy.isnan(strict) | numpy.isnan(lenient)
    return statistics.difference(
        numpy.where(unknown, numpy.nan, strict), numpy.where(unknown, numpy.nan, lenient)
    )
