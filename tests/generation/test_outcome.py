"""Answers and failures survive the way between processes."""

from __future__ import annotations

import asyncio
import json

import pytest

from r1lab.generation.asking import Failed, Fatal, Refused
from r1lab.generation.outcome import answer_from, outcome_of
from r1lab.generation.request import Answer, Request

REQUEST = Request("0" * 32, 0, 0, [{"role": "user", "content": "x"}])


class Says:
    """A client of one answer, or one failure."""

    def __init__(self, what: Answer | Exception):
        self.what = what

    async def ask(self, request: Request) -> Answer:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what

    async def aclose(self) -> None: ...


def sent(what: Answer | Exception) -> Answer:
    """Through a line of JSON and back."""
    return answer_from(json.loads(json.dumps(asyncio.run(outcome_of(Says(what), REQUEST)))))


def test_an_answer_arrives_whole():
    answer = Answer("é\n", "hm", "stop", 3, 4, 0.25)
    assert sent(answer) == answer


@pytest.mark.parametrize(
    "failure",
    [
        Refused("too long"),
        Fatal("no such model", "correct it"),
        Failed("away", server=True, retry_after=2.5, kind="busy"),
        Failed("stumbled", kind="http_500"),
    ],
)
def test_a_failure_arrives_with_all_that_it_says(failure):
    with pytest.raises(type(failure)) as arrived:
        sent(failure)
    assert vars(arrived.value) == vars(failure)


def test_a_bug_is_no_outcome():
    with pytest.raises(ZeroDivisionError):
        sent(ZeroDivisionError())
