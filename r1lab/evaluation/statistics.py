"""What sampled answers say about a model, and two models' answers about their difference.

Scores come as arrays of shape (questions, samples): 1 is right, 0 wrong, between them partial
credit, NaN an answer that nobody could judge or that was not sampled. Questions are the units that
are drawn again: the samples of one question are no independent evidence about the benchmark (see
E. Miller, Adding Error Bars to Evals, arXiv:2411.00640, on clustered errors). NaN in a result means
that nothing can be said.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy import optimize, stats

Floats = NDArray[numpy.float64]
Integers = NDArray[numpy.int64]

CONFIDENCE = 0.95
RESAMPLES = 9999
#: The chance with which a difference of the smallest detectable size is found.
POWER = 0.8
#: Whole sets of samples that a majority over fewer than all is averaged over.
_VOTES = 1000
#: Sign flips of up to this many differences are all tried.
_EXACT_UP_TO = 13
#: Scores this near are equal: sums of the same numbers in another order differ by less.
_EQUAL = 1e-9
#: Numbers that one batch of resamples holds at a time.
_BATCH = 2_000_000
_SEED = 0
NO_ANSWER = -1


@dataclass(frozen=True)
class Estimate:
    """A mean over questions with its 95% interval; ``questions`` is how many have a value."""

    value: float
    low: float
    high: float
    questions: int


@dataclass(frozen=True)
class Difference:
    """Second minus first, over the same questions.

    ``p_value`` is two-sided; ``test`` is ``permutation`` or ``mcnemar``. ``detectable`` is the
    smallest true difference that these questions and samples would show four times out of five;
    NaN where no question differs, which says nothing about how much they could. ``differing`` is
    how many questions have another mean.
    """

    estimate: Estimate
    p_value: float
    test: str
    detectable: float
    differing: int


def question_means(scores: Floats) -> Floats:
    """The mean over each question's judged samples, NaN for a question without one."""
    judged = ~numpy.isnan(scores)
    counts = judged.sum(axis=1)
    sums = numpy.where(judged, scores, 0.0).sum(axis=1)
    return numpy.where(counts > 0, sums / numpy.maximum(counts, 1), numpy.nan)


def pass_at(scores: Floats, k: int) -> Floats:
    """The chance that at least one of ``k`` samples is right, for each question.

    Of n judged samples c are right: 1 - C(n - c, k) / C(n, k), which is unbiased (M. Chen et al.,
    Evaluating Large Language Models Trained on Code, arXiv:2107.03374). Only full marks are right.
    NaN for a question with fewer than ``k`` judged samples.
    """
    judged = (~numpy.isnan(scores)).sum(axis=1)
    right = (scores >= 1.0 - _EQUAL).sum(axis=1)  # NaN is not
    enough = judged >= k
    # k of n samples without a right one among them: the hypergeometric distribution's 0.
    none = stats.hypergeom.pmf(0, numpy.maximum(judged, k), right, k)
    return numpy.where(enough, 1.0 - none, numpy.nan)


def majority(scores: Floats, labels: Integers, k: int | None = None) -> Floats:
    """The score of the answer that most of ``k`` samples give (all of them without ``k``).

    ``labels`` are of the shape of ``scores``; a question's equal answers share a number, and
    ``NO_ANSWER`` has no vote. Where several answers have the most votes, the score is their mean,
    which is what drawing one of them would give on average. No votes at all is wrong. For ``k``
    below a question's samples it is the mean over all sets of k, or 1,000 drawn ones. NaN for a
    question without a judged sample or with fewer than ``k`` samples.
    """
    found = numpy.full(len(scores), numpy.nan)
    random = numpy.random.default_rng(_SEED)
    for question, (row, voted) in enumerate(zip(scores, labels, strict=True)):
        sampled = ~numpy.isnan(row) | (voted != NO_ANSWER)
        count = int(sampled.sum())
        if numpy.isnan(row).all() or (k is not None and count < k):
            continue
        votes, worth = voted[sampled], row[sampled]
        kinds = numpy.unique(votes[votes != NO_ANSWER])
        if not len(kinds):
            found[question] = 0.0
            continue
        values = question_means(numpy.where(votes == kinds[:, None], worth, numpy.nan))
        members = (votes[:, None] == kinds).astype(numpy.float64)
        sets = members.sum(axis=0)[None]
        if k is not None and k < count:
            sets = members[_sets(count, k, random)].sum(axis=1)
        found[question] = _elected(sets, values)
    return found


def _elected(votes: Floats, values: Floats) -> float:
    """The mean score of the winners: ``votes`` is (sets, answers), ``values`` (answers,)."""
    most = votes.max(axis=1)
    winners = (votes == most[:, None]) & (most > 0)[:, None]
    known = winners & ~numpy.isnan(values)
    counts = known.sum(axis=1)
    sums = (known * numpy.nan_to_num(values)).sum(axis=1)
    # A set without votes is wrong; one whose winners nobody could judge says nothing.
    scored = numpy.where(counts > 0, sums / numpy.maximum(counts, 1), numpy.nan)
    scored = numpy.where(most > 0, scored, 0.0)
    return float(numpy.nanmean(scored)) if not numpy.isnan(scored).all() else math.nan


def _sets(count: int, k: int, random: numpy.random.Generator) -> Integers:
    """Sets of ``k`` of ``count`` samples, of shape (sets, k)."""
    if math.comb(count, k) <= _VOTES:
        return numpy.array(list(itertools.combinations(range(count), k)))
    return numpy.argsort(random.random((_VOTES, count)), axis=1)[:, :k]


def estimate(
    values: Floats, low: float = 0.0, high: float = 1.0, resamples: int = RESAMPLES
) -> Estimate:
    """The mean of one value a question with a bootstrap interval over questions.

    The interval is bias-corrected and accelerated (BCa; B. Efron, Better Bootstrap Confidence
    Intervals, 1987), which holds its 95% better than percentiles do near 0 and 1. ``low`` and
    ``high`` bound what a question's value can be.
    """
    return _estimated(values, low, high, resamples, "BCa", CONFIDENCE)


def difference_of_means(differences: Floats, resamples: int = RESAMPLES) -> Estimate:
    """The mean of paired differences (from -1 to 1), one a question, with a bootstrap interval.

    Differences lie about evenly on both sides of their mean, and there BCa's corrections are mostly
    noise: it covered less than 93% for 30 questions. These are percentiles, moved outwards as
    Student's t is wider than the normal distribution (T. Hesterberg, What Teachers Should Know
    About the Bootstrap, 2015: the expanded percentile interval).
    """
    count = int((~numpy.isnan(differences)).sum())
    level = CONFIDENCE
    if count > 1:
        quantile = stats.t.ppf(0.5 + CONFIDENCE / 2, count - 1)
        level = 1.0 - 2.0 * float(stats.norm.sf(math.sqrt(count / (count - 1)) * quantile))
    return _estimated(differences, -1.0, 1.0, resamples, "percentile", level)


def _estimated(
    values: Floats, low: float, high: float, resamples: int, method: str, level: float
) -> Estimate:
    """Where all values are equal there is nothing to resample: then the share of questions that
    would differ is bounded as if none of N had been seen to (Clopper and Pearson), and each by as
    much as it can.
    """
    known = values[~numpy.isnan(values)]
    count = len(known)
    if not count:
        return Estimate(math.nan, math.nan, math.nan, 0)
    value = float(known.mean())
    if count == 1:
        return Estimate(value, math.nan, math.nan, 1)
    if numpy.ptp(known) < _EQUAL:
        unseen = 1.0 - ((1.0 - CONFIDENCE) / 2) ** (1.0 / count)
        bounds = value - unseen * (value - low), value + unseen * (high - value)
        return Estimate(value, *bounds, count)
    interval = stats.bootstrap(
        (known,),
        numpy.mean,
        n_resamples=resamples,
        confidence_level=level,
        method=method,
        vectorized=True,
        batch=max(1, _BATCH // count),
        rng=numpy.random.default_rng(_SEED),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), count)


def difference(first: Floats, second: Floats, resamples: int = RESAMPLES) -> Difference:
    """How far ``second`` is above ``first``: scores of the same questions, in the same order.

    A question that one of them has no judged sample for is left out of everything. One sample a
    question on both sides, each right or wrong, is McNemar's exact test; otherwise signs are
    flipped over the questions' means.
    """
    means = question_means(first), question_means(second)
    differences = means[1] - means[0]
    known = differences[~numpy.isnan(differences)]
    paired = ~numpy.isnan(differences)
    binary = all(_is_binary(scores[paired]) for scores in (first, second))
    p_value = mcnemar(known) if binary else sign_flip(known, resamples)
    return Difference(
        difference_of_means(known, resamples),
        p_value,
        "mcnemar" if binary else "permutation",
        detectable_by_mcnemar(known) if binary else detectable(known),
        int((numpy.abs(known) > _EQUAL).sum()),
    )


def _is_binary(scores: Floats) -> bool:
    """Whether every question has one judged sample, which is right or wrong."""
    judged = ~numpy.isnan(scores)
    known = scores[judged]
    return bool((judged.sum(axis=1) == 1).all() and numpy.isin(known, (0.0, 1.0)).all())


def mcnemar(differences: Floats) -> float:
    """Exact two-sided p-value that as many questions turned right as turned wrong.

    ``differences`` are -1, 0 or 1. Q. McNemar, Note on the Sampling Error of the Difference between
    Correlated Proportions, 1947; exact as a binomial test.
    """
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    if not len(differences):
        return math.nan
    return float(stats.binomtest(better, better + worse).pvalue) if better + worse else 1.0


def sign_flip(differences: Floats, resamples: int = RESAMPLES, seed: int = _SEED) -> float:
    """Two-sided p-value of the mean difference: were the two alike, either could have been first.

    Each question's difference gets a random sign (R. Fisher, The Design of Experiments, 1935); all
    of them where they are few. ``scipy.stats.permutation_test`` says the same, and took 50 times as
    long for 1,319 questions.
    """
    if not len(differences):
        return math.nan
    moved = numpy.abs(differences[numpy.abs(differences) > _EQUAL])
    if not len(moved):
        return 1.0
    least = abs(float(differences.sum())) - _EQUAL * len(moved)
    if len(moved) <= _EXACT_UP_TO:
        bits = numpy.arange(2 ** len(moved))[:, None] >> numpy.arange(len(moved)) & 1
        return float((numpy.abs((2 * bits - 1) @ moved) >= least).mean())
    random = numpy.random.default_rng(seed)
    size = max(1, _BATCH // len(moved))
    as_far = 0
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        bits = random.integers(0, 2, (count, len(moved)), dtype=numpy.int8)
        sums = 2.0 * (bits @ moved) - moved.sum()
        as_far += int((numpy.abs(sums) >= least).sum())
    return (as_far + 1) / (resamples + 1)


def detectable(differences: Floats, power: float = POWER) -> float:
    """The smallest true mean difference that a two-sided 5% test finds with chance ``power``.

    (t(97.5%) + t(power)) s / sqrt(N), with s the standard deviation of the N paired differences and
    t the quantiles of Student's distribution with N - 1 degrees of freedom: the sample size formula
    of the paired t-test, solved for the difference (Miller, arXiv:2411.00640, section 5, with
    normal quantiles). NaN where all differ alike, or the questions are too few for any difference:
    it would be more than 1, or not even all signs alike give p <= 5%.
    """
    count = len(differences)
    spread = float(differences.std(ddof=1)) if count > 1 else 0.0
    if spread < _EQUAL or 2 * 0.5**count > 1.0 - CONFIDENCE:
        return math.nan
    quantiles = stats.t.ppf([0.5 + CONFIDENCE / 2, power], count - 1)
    size = float(quantiles.sum()) * spread / math.sqrt(count)
    return size if size <= 1.0 else math.nan


def detectable_by_mcnemar(differences: Floats, power: float = POWER) -> float:
    """What :func:`detectable` is for McNemar's exact test, which is more careful than t's.

    As many questions as here differ (all of them in one direction, where a larger difference takes
    more); the difference is solved for at which the test's chance of p <= 5%, summed over how many
    would differ and how they would fall, is ``power`` (J. Lachin, Power and Sample Size Evaluation
    for the McNemar Test, 1992, unconditional). NaN where no question differs.
    """
    count = len(differences)
    share = float((differences != 0).mean()) if count else 0.0
    if not share:
        return math.nan
    numbers = numpy.arange(count + 1)
    # Of so many that differ, at least these must fall on one side.
    needs = stats.binom.isf((1.0 - CONFIDENCE) / 2, numbers, 0.5) + 1

    def missed(size: float) -> float:
        differing = max(share, size)
        better = (differing + size) / 2 / differing
        rejects = stats.binom.sf(needs - 1, numbers, better)
        rejects = rejects + stats.binom.cdf(numbers - needs, numbers, better)
        return power - float(stats.binom.pmf(numbers, count, differing) @ rejects)

    if missed(1.0) > 0:
        return math.nan  # too few questions for any difference
    return float(optimize.brentq(missed, 0.0, 1.0, xtol=1e-6))
