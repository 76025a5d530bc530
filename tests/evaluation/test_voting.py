"""Equal answers get equal numbers, however they are written."""

from __future__ import annotations

from r1lab.evaluation import voting
from r1lab.evaluation.statistics import NO_ANSWER


def test_answers_that_are_equal_vote_together():
    texts = [
        [r"\boxed{\frac12}", "The answer is 0.5.", r"\boxed{\dfrac{2}{4}}", r"\boxed{2}", None],
        [r"\boxed{7}", "<think>so", r"<think>8</think>\boxed{7.0}", r"\boxed{x+1}", r"\boxed{1+x}"],
    ]
    found = voting.group_answers(texts)
    assert found.tolist() == [[0, 0, 0, 1, NO_ANSWER], [0, NO_ANSWER, 0, 1, 1]]


def test_the_most_frequent_answer_leads_its_group():
    """Rounded answers may each be near a third and not near each other: they join the leader."""
    texts = [[r"\boxed{0.333333}", r"\boxed{\frac13}", r"\boxed{\frac13}"]]
    assert voting.group_answers(texts).tolist() == [[0, 0, 0]]


def test_letters_are_read_as_options():
    texts = [["Answer: B", "**Answer: B**", "(C)", "It is B or C.", "no idea"]]
    found = voting.group_answers(texts, voting.readers()["choice"])
    assert found.tolist() == [[0, 0, 1, NO_ANSWER, NO_ANSWER]]


def test_no_answers_are_no_groups():
    assert voting.group_answers([]).shape == (0, 0)
    assert voting.group_answers([["", "<think>"]]).tolist() == [[NO_ANSWER, NO_ANSWER]]
