"""What binary_code adds to code: the threshold, and stopping where a failure settles the value."""

from __future__ import annotations

import pytest

from r1lab.rewards.base import ParameterError
from r1lab.rewards.binary_code import BinaryCode
from tests.rewards.test_code import FIRST_ONLY, INFO, reward
from tests.sandbox.runner import Runner


@pytest.mark.parametrize(
    ("tests", "threshold", "runs"), [(2, 0.99, [2]), (40, 0.99, [2]), (4, 0.5, [4])]
)
def test_binary_code_stops_where_a_failure_settles_it(
    tests: int, threshold: float, runs: list[int]
) -> None:
    runner = Runner()
    info = {"test_cases": [{"input": "", "output": "x"}] * tests}
    made = reward(runner, BinaryCode, test_batch_size=2, threshold=threshold)
    assert made(["```python\npass\n```"], verification_info=[info]) == [0.0]
    assert [len(stdins) for _, stdins, _ in runner.jobs] == runs


def test_binary_threshold() -> None:
    half = [FIRST_ONLY]
    for threshold, value in ((0.4, 1.0), (0.5, 0.0), (0.99, 0.0)):
        made = reward(kind=BinaryCode, threshold=threshold)
        assert made(half, verification_info=[INFO]) == [value]


@pytest.mark.parametrize("threshold", [1.0, -0.1, float("nan")])
def test_a_threshold_that_cannot_be_names_itself(threshold: float) -> None:
    with pytest.raises(ParameterError, match="threshold"):
        BinaryCode(threshold=threshold)
