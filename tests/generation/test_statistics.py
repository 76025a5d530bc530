from __future__ import annotations

from r1lab.generation.request import Answer
from r1lab.generation.statistics import Statistics
from r1lab.generation.steps.base import Sample
from tests.generation.grouping import group


def test_what_passes_is_counted() -> None:
    statistics = Statistics()
    groups = [
        group(0, "a", "b", "c", pass_rate=2 / 3, reasoning="so"),
        group(1, "a", pass_rate=0.0),
        group(2, "a", pass_rate=1.0),
        group(3, pass_rate=None),
    ]
    groups[2].samples.append(Sample(1, Answer("cut", finish_reason="length")))
    assert list(statistics.watch(groups)) == groups
    facts = statistics.facts()
    assert (facts["prompts"], facts["samples"]) == (4, 6)
    assert (facts["right"], facts["wrong"], facts["not verified"]) == (4, 1, 1)
    assert facts["finish_reasons"] == {"stop": 5, "length": 1}
    assert facts["with reasoning apart"] == 3
    parts = {part: count for part, count in facts["pass_rates"].items() if count}
    assert parts == {"0": 1, "0.6 to 0.8": 1, "1": 1}
    assert facts["prompt_tokens"] == 35
    tokens = facts["tokens"]
    assert (tokens["mean"], tokens["max"], tokens["sum"]) == (10.6, 12, 53)
    assert (tokens["p50"], tokens["p90"]) == (10, 11.6)


def test_a_rate_on_an_edge_belongs_to_the_part_that_begins_there() -> None:
    statistics = Statistics()
    for rate in (0.2, 0.6, 3 / 5, 0.8, 0.99, 0.01):
        statistics.add(group(0, "a", pass_rate=rate))
    parts = statistics.facts()["pass_rates"]
    assert list(parts.values()) == [0, 1, 1, 0, 2, 2, 0]


def test_a_server_that_counts_nothing() -> None:
    statistics = Statistics()
    asked = group(0, pass_rate=None)
    asked.samples = [Sample(0, Answer("a"))]
    statistics.add(asked)
    facts = statistics.facts()
    assert facts["tokens"] == {} and facts["pass_rates"] == {}
    assert facts["finish_reasons"] == {"(not said)": 1}
    assert Statistics().facts()["samples"] == 0
