"""The intervals hold what they promise: against closed forms, brute force, scipy and simulation."""

from __future__ import annotations

import itertools
import math

import numpy
import pytest
from scipy import stats

from r1lab.evaluation import statistics
from r1lab.evaluation.statistics import NO_ANSWER

NAN = math.nan
#: Few resamples: a simulation asks for many intervals, each of which may be rough.
ROUGH = 1999


def answers(random, questions, samples, skill=(1.0, 1.0), lift=0.0):
    """Two models' answers to questions of Beta-distributed difficulty; the second is better by
    ``lift`` in the mean.
    """
    chance = random.beta(*skill, questions) * (1 - lift)
    return tuple(
        random.binomial(1, each[:, None], (questions, samples)).astype(float)
        for each in (chance, chance + lift)
    )


def test_means_leave_out_what_was_not_judged():
    found = statistics.question_means(numpy.array([[1, 0, NAN], [1, NAN, NAN], [NAN, NAN, NAN]]))
    assert found[:2].tolist() == [0.5, 1.0]
    assert math.isnan(found[2])
    one = statistics.estimate(found)
    assert (one.value, one.questions) == (0.75, 2)


@pytest.mark.parametrize("right", range(7))
@pytest.mark.parametrize("k", [1, 2, 5, 6])
def test_pass_at_k_is_the_share_of_sets_with_a_right_answer(right, k):
    row = numpy.array([1.0] * right + [0.0] * (6 - right))
    sets = list(itertools.combinations(row, k))
    wanted = sum(any(chosen) for chosen in sets) / len(sets)
    assert statistics.pass_at(row[None], k)[0] == pytest.approx(wanted)


def test_pass_at_k_is_unbiased():
    """A single draw of k from a question that is solved one time in five: 1 - 0.8^k."""
    random = numpy.random.default_rng(0)
    found = statistics.pass_at(random.binomial(1, 0.2, (40_000, 16)).astype(float), 4)
    assert found.mean() == pytest.approx(1 - 0.8**4, abs=0.005)


def test_pass_at_k_counts_full_marks_and_needs_k_judged_samples():
    scores = numpy.array([[0.9, 1.0, NAN], [NAN, NAN, 1.0]])
    found = statistics.pass_at(scores, 2)
    assert found[0] == 1.0
    assert math.isnan(found[1])
    assert statistics.pass_at(scores, 1).tolist() == [0.5, 1.0]


def test_pass_at_k_of_many_samples_does_not_overflow():
    scores = numpy.zeros((1, 4096))
    scores[0, 0] = 1.0
    assert statistics.pass_at(scores, 2048)[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("labels", "scores", "wanted"),
    [
        ([0, 0, 1], [1, 1, 0], 1.0),
        ([0, 1, 1], [1, 0, 0], 0.0),
        ([0, 0, 1, 1], [1, 1, 0, 0], 0.5),  # a tie: one of the two, drawn fairly
        ([0, 1, 2], [1, 0, 0], 1 / 3),
        ([0, NO_ANSWER, NO_ANSWER], [1, 0, 0], 1.0),  # silence has no vote
        ([NO_ANSWER, NO_ANSWER], [0, 0], 0.0),
        ([0, 0, 1], [1, 0, 0], 0.5),  # equal answers of which the strict parser read one
        ([0, 0, 1], [NAN, NAN, 1], NAN),  # nobody could judge the winner
        ([0, 0], [NAN, NAN], NAN),
    ],
)
def test_the_majority_decides(labels, scores, wanted):
    found = statistics.majority(numpy.array([scores], float), numpy.array([labels]))
    assert found[0] == pytest.approx(wanted, nan_ok=True)


def test_a_majority_of_fewer_is_the_mean_over_their_sets():
    labels, scores = numpy.array([0, 0, 1, 2, 2]), numpy.array([1.0, 1, 0, 0, 0])
    whole = [
        statistics.majority(scores[None, list(chosen)], labels[None, list(chosen)])[0]
        for chosen in itertools.combinations(range(5), 3)
    ]
    found = statistics.majority(scores[None], labels[None], k=3)
    assert found[0] == pytest.approx(sum(whole) / len(whole))
    assert math.isnan(statistics.majority(scores[None], labels[None], k=6)[0])


def test_a_majority_of_drawn_sets_is_near_the_exact_one():
    """41,664 sets of 3 are too many to try: of two answers, the one with 2 votes or more wins."""
    labels = numpy.array([[0] * 40 + [1] * 24])
    found = statistics.majority(1.0 - labels, labels, k=3)
    assert found[0] == pytest.approx(stats.hypergeom.sf(1, 64, 40, 3), abs=0.05)
    one = statistics.majority(1.0 - labels, labels, k=1)
    assert one[0] == pytest.approx(40 / 64)


def test_an_interval_without_spread_is_that_of_clopper_and_pearson():
    right = statistics.estimate(numpy.ones(30))
    exact = stats.binomtest(30, 30).proportion_ci(0.95, "exact")
    assert (right.low, right.high) == pytest.approx((exact.low, exact.high))
    wrong = statistics.estimate(numpy.zeros(30))
    assert (wrong.low, wrong.high) == pytest.approx((1 - exact.high, 1 - exact.low))
    same = statistics.difference_of_means(numpy.zeros(30))
    assert (same.low, same.high) == pytest.approx((exact.low - 1, 1 - exact.low))


def test_one_question_and_none_have_no_interval():
    one = statistics.estimate(numpy.array([0.25]))
    assert one.value == 0.25
    assert math.isnan(one.low)
    none = statistics.estimate(numpy.array([NAN]))
    assert none.questions == 0
    assert math.isnan(none.value)


def covered(random, times, interval):
    """The share of intervals that hold the truth; ``interval`` gives an estimate and the truth."""
    found = [interval(random) for _ in range(times)]
    return numpy.mean(
        [one.low <= truth + 1e-9 and truth - 1e-9 <= one.high for one, truth in found]
    )


def score_interval(questions, samples, skill):
    def interval(random):
        means = answers(random, questions, samples, skill)[0].mean(axis=1)
        return statistics.estimate(means, resamples=ROUGH), skill[0] / sum(skill)

    return interval


def difference_interval(questions, samples, skill, lift):
    def interval(random):
        pair = answers(random, questions, samples, skill, lift)
        return statistics.difference(*pair, resamples=ROUGH).estimate, lift

    return interval


def test_intervals_cover_19_times_out_of_20():
    random = numpy.random.default_rng(1)
    assert 0.93 <= covered(random, 500, score_interval(60, 4, (1, 1))) <= 0.97
    assert 0.93 <= covered(random, 500, difference_interval(60, 4, (1, 1), 0.05)) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(
    ("questions", "samples", "skill"),
    [
        (30, 4, (1, 1)),
        (30, 64, (0.5, 0.5)),
        (198, 1, (0.5, 1.5)),
        (198, 8, (1, 1)),
        (500, 4, (2, 0.5)),
    ],
)
def test_intervals_cover_on_benchmarks_of_every_size(questions, samples, skill):
    random = numpy.random.default_rng(2)
    assert 0.93 <= covered(random, 2000, score_interval(questions, samples, skill)) <= 0.97
    for lift in (0.0, 0.1):
        interval = difference_interval(questions, samples, skill, lift)
        assert 0.93 <= covered(random, 1000, interval) <= 0.97


def p_values(random, times, questions, samples, lift=0.0):
    pairs = (answers(random, questions, samples, lift=lift) for _ in range(times))
    return numpy.array([p_value(*pair) for pair in pairs])


def p_value(first, second):
    if first.shape[1] == 1:
        return statistics.mcnemar((second - first)[:, 0])
    return statistics.sign_flip((second - first).mean(axis=1), 999)


def test_p_values_of_equal_models_are_uniform():
    found = p_values(numpy.random.default_rng(3), 800, questions=30, samples=64)
    assert stats.kstest(found, "uniform").pvalue > 0.05
    assert 0.035 <= (found <= 0.05).mean() <= 0.065


@pytest.mark.parametrize("samples", [1, 4])
def test_p_values_of_few_samples_promise_no_more_than_they_hold(samples):
    """With few possible differences many are tied, and exact tests are careful."""
    found = p_values(numpy.random.default_rng(4), 600, 30, samples)
    for level in (0.05, 0.2, 0.5):
        assert (found <= level).mean() <= level + 0.02


def test_sign_flips_agree_with_scipy():
    random = numpy.random.default_rng(5)
    for count in (8, 12, 60):
        differences = random.normal(0.15, 0.5, count)
        wanted = stats.permutation_test(
            (differences, numpy.zeros(count)),
            lambda one, two, axis=-1: numpy.mean(one - two, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=20_000,
            rng=random,
        ).pvalue
        tolerance = 0.01 if count == 60 else 1e-12  # the small ones are tried out by both
        assert statistics.sign_flip(differences) == pytest.approx(wanted, abs=tolerance)


def test_questions_that_do_not_differ_change_no_p_value():
    differences = numpy.array([0.5, 0.25, -0.25, 0.5, 1.0])
    more = numpy.concatenate([differences, numpy.zeros(500)])
    assert statistics.sign_flip(more) == statistics.sign_flip(differences)
    assert statistics.sign_flip(numpy.zeros(5)) == 1.0


def test_one_sample_each_is_mcnemars_exact_test():
    first = numpy.array([[1.0]] + [[0.0]] * 9 + [[1.0]] * 20)
    second = numpy.array([[0.0]] + [[1.0]] * 9 + [[1.0]] * 20)
    found = statistics.difference(first, second)
    assert found.test == "mcnemar"
    assert found.p_value == pytest.approx(2 * (1 + 10) / 2**10)  # 1 against 9
    assert found.differing == 10
    two = statistics.difference(numpy.tile(first, 2), numpy.tile(second, 2))
    assert two.test == "permutation"


def test_a_difference_leaves_out_questions_that_one_could_not_judge():
    first = numpy.array([[1.0, 1], [0, 0], [NAN, NAN], [1, 0]])
    second = numpy.array([[1.0, 1], [1, 0], [1, 1], [NAN, 1]])
    found = statistics.difference(first, second)
    assert found.estimate.questions == 3
    assert found.estimate.value == pytest.approx((0 + 0.5 + 0.5) / 3)


def test_order_turns_the_sign_and_nothing_else():
    pair = answers(numpy.random.default_rng(6), 30, 8, lift=0.1)
    there, back = statistics.difference(*pair), statistics.difference(*pair[::-1])
    assert there.estimate.value == -back.estimate.value
    assert there.p_value == back.p_value
    assert there.detectable == back.detectable


def said_detectable(first, second):
    differences = (second - first).mean(axis=1)
    if first.shape[1] == 1:
        return statistics.detectable_by_mcnemar(differences)
    return statistics.detectable(differences)


def detected(random, times, questions, samples):
    """How often a difference of the size that is said to be detectable is."""
    size = 0.1
    for _ in range(5):  # a larger difference has another variance
        pairs = [answers(random, questions, samples, lift=size) for _ in range(60)]
        size = numpy.median([said_detectable(*pair) for pair in pairs])
    found = p_values(random, times, questions, samples, lift=size)
    return (found <= 0.05).mean()


def test_the_detectable_difference_is_detected_four_times_out_of_five():
    random = numpy.random.default_rng(7)
    assert 0.75 <= detected(random, 300, 30, 32) <= 0.85
    assert 0.75 <= detected(random, 300, 100, 1) <= 0.85


@pytest.mark.slow
@pytest.mark.parametrize(
    ("questions", "samples"), [(30, 64), (198, 1), (198, 8), (500, 1), (500, 4)]
)
def test_the_detectable_difference_is_detected_on_real_sizes(questions, samples):
    assert 0.76 <= detected(numpy.random.default_rng(8), 1500, questions, samples) <= 0.84


def test_the_detectable_difference_is_that_of_the_t_test():
    """Power of the paired t-test at that difference, by the noncentral t distribution."""
    differences = numpy.random.default_rng(9).normal(0, 0.2, 40)
    size = statistics.detectable(differences)
    noncentral = size * math.sqrt(40) / differences.std(ddof=1)
    critical = stats.t.ppf(0.975, 39)
    power = stats.nct.sf(critical, 39, noncentral) + stats.nct.cdf(-critical, 39, noncentral)
    assert power == pytest.approx(0.8, abs=0.005)


def test_nothing_is_said_of_what_could_be_detected_where_nothing_differs():
    same = numpy.ones((30, 1))
    found = statistics.difference(same, same)
    assert found.p_value == 1.0
    assert math.isnan(found.detectable)
    few = statistics.difference(numpy.array([[0.0], [1]]), numpy.array([[1.0], [1]]))
    assert math.isnan(few.detectable)  # two questions never reach p <= 5%


@pytest.mark.parametrize("differences", [[0.1, 0.2, 0.1, 0.2, 0.1], [1, -1, 1, 1, 1, -1]])
def test_too_few_questions_can_show_nothing(differences):
    """Five of one sign have p = 6%; six that differ so much would take more than 100 points."""
    assert math.isnan(statistics.detectable(numpy.array(differences, float)))
