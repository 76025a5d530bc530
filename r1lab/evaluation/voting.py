"""Which of a question's sampled answers are the same, for majority votes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy

from r1lab.evaluation.statistics import NO_ANSWER, Integers
from r1lab.rewards.multiple_choice import MultipleChoice
from r1lab.verify.answers import final_answer
from r1lab.verify.normal import normalise
from r1lab.verify.verifier import get_verifier


def letter(text: str) -> str | None:
    """The option that an answer to a multiple-choice question names."""
    named = MultipleChoice().letters(text)
    return named.pop() if len(named) == 1 else None


def group_answers(texts: Any, read: Callable[[str], str | None] = final_answer) -> Integers:
    """A number for each answer, the same for a question's equal ones; ``NO_ANSWER`` for none.

    ``texts`` are of shape (questions, samples), ``None`` where there is no sample; ``read`` finds
    the final answer in a text. Answers are equal when the verifier says that one, taken as the
    gold, is met by the other. Each is compared with one answer of every group, the most frequent
    first; all questions' comparisons of a round go to the verifier together.
    """
    answers = [[None if text is None else _read(text, read) for text in row] for row in texts]
    groups: list[dict[str, int]] = [{} for _ in answers]
    waiting = [
        [answer for answer, _ in Counter(item for item in row if item is not None).most_common()]
        for row in answers
    ]
    while any(waiting):
        asked = [
            (question, rest[0], other)
            for question, rest in enumerate(waiting)
            for other in rest[1:]
        ]
        verdicts = get_verifier().verify_batch([(_boxed(o), _boxed(one)) for _, one, o in asked])
        same: list[set[str]] = [set(rest[:1]) for rest in waiting]
        for (question, _, other), verdict in zip(asked, verdicts, strict=True):
            if verdict.correct:
                same[question].add(other)
        for question, members in enumerate(same):
            number = len(set(groups[question].values()))
            groups[question].update(dict.fromkeys(members, number))
            waiting[question] = [item for item in waiting[question] if item not in members]
    found = numpy.full((len(answers), max(map(len, answers), default=0)), NO_ANSWER)
    for question, row in enumerate(answers):
        for sample, item in enumerate(row):
            if item is not None:
                found[question, sample] = groups[question][item]
    return found


def _read(text: str, read: Callable[[str], str | None]) -> str | None:
    answer = read(text)
    return None if answer is None else normalise(answer)


def _boxed(answer: str) -> str:
    return f"\\boxed{{{answer}}}"


def readers() -> dict[str, Callable[[str], str | None]]:
    """What reads the final answer, by a benchmark's ``answers``."""
    return {"math": final_answer, "choice": letter}
