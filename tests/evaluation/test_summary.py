"""One benchmark in numbers: strict and lenient side by side."""

from __future__ import annotations

import re

import pandas
import pytest

from r1lab.evaluation import samples, summary, voting
from tests.evaluation import answered


def summed(table, **given):
    found = samples.from_table(pandas.DataFrame(table))
    return summary.summarize(found, voting.group_answers(found.texts), **given)


def test_both_scores_and_what_lies_between_them():
    table = answered.rows([[1, 1, 0, 0], [1, 1, 1, 1]])
    for row in table[:2]:
        row["strict"] = 0.0  # right, and not as the benchmark's parser wants it
    found = summed(table)
    strict, lenient = found.scores["strict"], found.scores["lenient"]
    assert (strict.average.value, lenient.average.value) == (0.5, 0.75)
    assert strict.pass_at[4].value == 0.5
    assert lenient.pass_at[2].value == pytest.approx((5 / 6 + 1) / 2)
    assert found.format_gap.estimate.value == pytest.approx(0.25)
    assert list(strict.pass_at) == [1, 2, 4]


def test_the_majority_and_silence():
    table = answered.rows([[1, 1, 0], [0, 0, 1]])
    table[5] |= {"text": "<think>so", "strict": 0.0, "lenient": 0.0}
    found = summed(table)
    assert found.scores["strict"].majority[3].value == 0.5
    assert found.no_answer == pytest.approx(1 / 6)
    assert found.mean_tokens == 10
    assert found.truncated == 0


def test_what_was_not_judged_is_counted_and_left_out():
    found = summed(answered.rows([[1, None], [None, None]]))
    assert found.scores["strict"].unjudged == 3
    assert found.scores["strict"].average.value == 1.0
    assert found.scores["strict"].average.questions == 1


def test_metrics_are_numbers_under_names_that_mlflow_accepts():
    metrics = summed(answered.rows([[1, 0], [1, 1], [0, 0]])).metrics()
    assert metrics["strict/pass_at_1"] == 0.5
    assert metrics["strict/pass_at_1_low"] < 0.5 < metrics["strict/pass_at_1_high"]
    assert metrics["lenient/majority_at_2"] == 0.5
    assert all(re.fullmatch(r"[\w./ -]+", name) for name in metrics)
    assert all(isinstance(value, float) for value in metrics.values())


def test_ks_are_powers_of_two_and_all():
    assert summary.powers(1) == [1]
    assert summary.powers(4) == [1, 2, 4]
    assert summary.powers(10) == [1, 2, 4, 8, 10]
